"""`like` in a method: another row's settings, with the rows it is compared with on its own segmenter."""

import pytest
from conftest import ROOT, small_config

from xdseg.cells import Context
from xdseg.errors import BadInput
from xdseg.grid import expand
from xdseg.likeness import take_over_domains
from xdseg.params import parse, read_yaml


def config(**rows):
    """The small settings with a second segmenter `wide`, its bounds, and some rows."""
    settings = small_config()
    settings["segmenters"]["wide"] = settings["segmenters"]["deeplabv3plus"] | {"decoder_channels": 48}
    bounds = {f"{name}-wide": {"like": name, "segmenter": "wide"} for name in ("source-only", "oracle")}
    settings["methods"] |= bounds | rows
    return settings


def test_taken_over():
    """All settings, with the rows of comparison and start on the new segmenter."""
    settings = config(
        tuned={"setting": "finetune", "segmenter": "deeplabv3plus", "start": "source-only", "training": {"steps": 2}},
        **{
            "tuned-wide": {"like": "tuned", "segmenter": "wide"},
            "source-aug-wide": {"like": "source-aug", "segmenter": "wide"},
        },
    )
    methods = parse(settings).methods
    tuned, augmented = methods["tuned-wide"], methods["source-aug-wide"]
    assert (tuned.setting, tuned.segmenter, tuned.start, tuned.training) == (
        "finetune",
        "wide",
        "source-only-wide",
        {"steps": 2},
    )
    assert (augmented.floor, augmented.augmentation, augmented.host) == ("source-only-wide", {"jitter": {}}, None)
    assert methods["source-only-wide"].ceiling == "oracle-wide"
    assert methods["tuned"].start == "source-only", "the row taken over stays as it is"


def test_own_words_count_and_maps_merge():
    """Without a segmenter of its own a row keeps the other's rows; what it names itself stays."""
    row = {"like": "source-aug", "augmentation": {"flip": 0.0}, "floor": "oracle"}
    method = parse(config(row=row)).methods["row"]
    assert (method.segmenter, method.floor) == ("deeplabv3plus", "oracle")
    assert method.augmentation == {"jitter": {}, "flip": 0.0}


@pytest.mark.parametrize(
    "row, message",
    [
        ({"like": "source-onli"}, "methods.row.like: unknown 'source-onli'; did you mean 'source-only'?"),
        ({"like": "row"}, "methods.row.like: unknown 'row'"),
        ({"like": "oracle-wide"}, "methods.row.like: oracle-wide is itself like oracle; name that row"),
        ({"like": "source-aug", "segmenter": "narrow"}, "methods.row.floor: unknown 'source-only-narrow'"),
        ({"lik": "source-aug"}, "methods.row.lik: no such key; did you mean 'like'?"),
        (["like"], "methods.row"),
    ],
)
def test_what_cannot_be_taken_over(row, message):
    """One line that names the key."""
    settings = config(row=row)
    settings["segmenters"]["narrow"] = settings["segmenters"]["wide"]
    with pytest.raises(BadInput) as error:
        parse(settings)
    assert message in str(error.value)
    assert str(error.value).startswith("params: methods.row")


def test_same_fingerprint_as_written_out():
    """`like` is a way of writing: a run has the identity of the row written out in full."""
    plain = config()
    plain["methods"]["source-only-wide"] = plain["methods"]["source-only"] | {
        "segmenter": "wide",
        "ceiling": "oracle-wide",
    }
    folders = []
    for settings in (config(), plain):
        settings["suites"] = {"streetworld": {"kind": "streetworld"}}
        settings["grid"] |= {"suite": "streetworld", "methods": ["source-only-wide"], "pairs": ["clear->night"]}
        folders.append([run.folder for run in expand(Context.of(parse(settings))).runs])
    assert folders[0] == folders[1]


@pytest.mark.parametrize("segmenter", ["daformer", "segformer"])
def test_every_segmenter_has_the_rows_of_the_default_one(segmenter):
    """In params.yaml; and no row is compared with one on another segmenter, unless its host is to be just that."""
    methods = parse(read_yaml(ROOT / "params.yaml")).methods
    bare = [name for name, method in methods.items() if method.segmenter == "deeplabv3plus"]
    assert {f"{name}-{segmenter}" for name in bare} <= methods.keys()
    for name, method in methods.items():
        compares_networks = method.setting == "source" and not method.adaptations and name != "source-aug"
        compares_networks |= name == "hrda"  # with DAFormer's network, which is inside
        host = None if compares_networks else method.host
        for other in (host, method.floor, method.ceiling, method.start):
            assert other is None or methods[other].segmenter == method.segmenter, name


SUITES = {
    "one": {"kind": "public", "classes": "cityscapes", "domains": {"a": {"dataset": "gta5"}, "b": {"dataset": "acdc"}}},
    "two": {"kind": "public", "like": "one", "classes": "cityscapes-16", "domains": {"b": {"part": "fog"}}},
}


def test_a_suite_takes_over_domains():
    """All of the other's, and what it says itself of one of them; the other is left as it was."""
    found = take_over_domains(SUITES)
    assert found["two"]["domains"] == {"a": {"dataset": "gta5"}, "b": {"dataset": "acdc", "part": "fog"}}
    assert found["one"] == SUITES["one"] and "part" not in SUITES["one"]["domains"]["b"]


@pytest.mark.parametrize("like", ["on", "two", "folder"])
def test_a_suite_that_cannot_be_taken_over(like):
    """A misspelt one, one that itself takes over, one of another kind."""
    suites = SUITES | {"three": {"kind": "public", "like": like, "classes": "cityscapes"}, "folder": {"kind": "folder"}}
    with pytest.raises(BadInput, match=f"suites.three.like: no suite '{like}' with domains; "):
        take_over_domains(suites)


def test_a_segmenter_takes_over_settings():
    """Another's kind and settings, merged at every depth; the other stays as it is."""
    plain, settings = config(), config()
    plain["segmenters"]["wide"] = {"kind": "deeplabv3plus", "decoder_channels": 48, "encoder": "resnet34"}
    settings["segmenters"]["wide"] = {"like": "deeplabv3plus", "decoder_channels": 48, "encoder": "resnet34"}
    kind, wide = parse(settings).component("segmenters", "wide")
    assert (kind, wide.decoder_channels, wide.encoder) == ("deeplabv3plus", 48, "resnet34")
    assert parse(settings).component("segmenters", "deeplabv3plus")[1].decoder_channels == 32
    assert parse(settings).segmenters["wide"] == plain["segmenters"]["wide"]
    nested = {"one": {"kind": "dacs", "views": {"blur_p": 0.1}}, "two": {"like": "one", "views": {"jitter_p": 0.3}}}
    settings["adaptations"] = nested
    assert parse(settings).component("adaptations", "two")[1].views.blur_p == 0.1


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"like": "deeplabv3"}, "segmenters.row.like: unknown 'deeplabv3'; did you mean 'deeplabv3plus'?"),
        ({"like": "row"}, "segmenters.row.like: unknown 'row'"),
        ({"like": "second"}, "segmenters.row.like: second is itself like deeplabv3plus; name that one"),
        ({"like": "deeplabv3plus", "decoder_chanels": 3}, "segmenters.row.decoder_chanels: no such key"),
    ],
)
def test_a_segmenter_that_cannot_be_taken_over(entry, message):
    """One line that names the key."""
    settings = config()
    settings["segmenters"] |= {"second": {"like": "deeplabv3plus"}, "row": entry}
    with pytest.raises(BadInput, match=r"^params: ") as error:
        parse(settings)
    assert message in str(error.value)
