"""The presets at paper size resolve to the runs and cells of their papers, on small trees in the true formats."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from public_data import COUNT, write_suite_data

from xdseg.cells import Context
from xdseg.data.prepare_public import prepare_public
from xdseg.demands import needed_splits
from xdseg.grid import expand
from xdseg.merging import merge
from xdseg.params import data_root, parse, read_yaml

PAPER = ROOT / "pipeline/presets/paper"
THIRTEEN = {  # overlay: the preset that it is laid over
    "subset_13": "synthia_to_cityscapes",
    **{f"subset_13_{name}": f"synthia_to_cityscapes_{name}" for name in ("classic", "dacs", "hr")},
}
SUITES, METHODS = (read_yaml(ROOT / "params.yaml")[key] for key in ("suites", "methods"))
# preset: sources and targets with the splits that train, adapt and test; runs; cells
EXPECTED = {
    "gta_to_cityscapes": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 5, 5),
    "gta_to_cityscapes_dacs": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 5, 5),
    "gta_to_cityscapes_daformer": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 24, 24),
    "gta_to_cityscapes_hr": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 18, 18),
    "synthia_to_cityscapes": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 24, 24),
    "synthia_to_cityscapes_hr": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 18, 18),
    "synthia_to_cityscapes_classic": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 5, 5),
    "synthia_to_cityscapes_dacs": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 5, 5),
    "synthia16_to_cityscapes": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 12, 12),
    "cityscapes_to_acdc": ({"cityscapes": {"train"}, "acdc": {"train", "val"}}, 24, 24),
    "cityscapes_to_acdc_hr": ({"cityscapes": {"train"}, "acdc": {"train", "val"}}, 18, 18),
    "cityscapes_to_acdc_conditions": (
        {"cityscapes": {"train"}} | {f"acdc_{weather}": {"val"} for weather in ("fog", "night", "rain", "snow")},
        2,
        8,
    ),
    "cityscapes_to_dark_zurich": ({"cityscapes": {"train"}, "dark_zurich": {"train", "val"}}, 21, 21),
    "cityscapes_to_dark_zurich_hr": ({"cityscapes": {"train"}, "dark_zurich": {"train", "val"}}, 15, 15),
    "gta_to_cbm": ({"gta5": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}}, 2, 6),
    "gta_to_cbm_peft": ({"gta5": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}}, 7, 21),
    "gta_to_cbm_mfuser": ({"gta5": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}}, 16, 48),
    "cityscapes_to_bm_mfuser": ({"cityscapes": {"train"}, "bdd100k": {"val"}, "mapillary": {"val"}}, 4, 8),
    "gta_to_cbm_robustnet": (
        {"gta5": {"train"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}, "synthia": {"val"}},
        1,
        4,
    ),
    "cityscapes_to_bmgs": (
        {"cityscapes": {"train"}, "bdd100k": {"val"}, "mapillary": {"val"}, "gta5": {"val"}, "synthia": {"val"}},
        1,
        4,
    ),
    "gta_synthia_to_cbm": (
        {"gta5": {"full"}, "synthia": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}},
        1,
        3,
    ),
    "gta_synthia_urbansyn_to_cbm": (
        {"gta5": {"full"}, "synthia": {"full"}, "urbansyn": {"full"}}
        | {"cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}},
        1,
        3,
    ),
    "eomt_cityscapes": ({"cityscapes": {"train", "val"}, "acdc": {"train", "val"}}, 1, 2),
    "loveda": ({"loveda_urban": {"train", "val"}, "loveda_rural": {"train", "val"}}, 6, 8),
    "potsdam_vaihingen": (
        {"potsdam_rgb": {"train", "val"}, "potsdam_irrg": {"train", "val"}, "vaihingen": {"train", "val"}},
        10,  # three of each method without target, an oracle of each, four of dacs: 3 + 3 + 0 + 4
        16,
    ),
    "vessels_field": ({"drive": {"train", "test"}, "stare": {"train", "val"}, "chase_db1": {"train", "val"}}, 6, 18),
    "fundus": (
        {"drishti_gs": {"train", "test"}, "rim_one": {"train", "test"}}
        | {"refuge_zeiss": {"train"}, "refuge_canon": {"val"}},
        8,
        8,
    ),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> tuple[Path, dict]:
    """Small trees of all data sets, and the overlay of counts."""
    root = tmp_path_factory.mktemp("public")
    suites = {name: {"domains": write_suite_data(root, suite)} for name, suite in SUITES.items() if "domains" in suite}
    return root, {"suites": suites}


@pytest.fixture
def public(trees, tmp_path, monkeypatch) -> dict:
    """The trees as XDSEG_DATA, in an empty folder; the overlay."""
    monkeypatch.setenv("XDSEG_DATA", str(trees[0]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backbones").symlink_to(ROOT / "backbones")
    data_root.cache_clear()
    yield trees[1]
    data_root.cache_clear()


def settings(preset: str, overlay: dict) -> dict:
    """Merged settings of a preset under an overlay."""
    return merge(merge(read_yaml(ROOT / "params.yaml"), read_yaml(PAPER / f"{preset}.yaml")), overlay)


def locked(config: dict) -> Context:
    """The context of settings, with what the grid needs locked in the current folder."""
    context = Context.of(parse(config))
    prepare_public(context.lock.layout, needed_splits(context))
    return Context.of(parse(config))


def test_every_preset_is_expected():
    """A new preset comes with what it must resolve to."""
    assert {path.stem for path in PAPER.glob("*.yaml")} == EXPECTED.keys() | THIRTEEN.keys()


@pytest.mark.parametrize("preset", EXPECTED)
def test_preset_resolves(preset, public):
    """Splits, runs and cells are those of the protocol; nothing is excluded."""
    splits, runs, cells = EXPECTED[preset]
    context = locked(settings(preset, public))
    assert needed_splits(context) == splits
    found = expand(context)
    assert not found.excluded
    assert (len(found.runs), len(found.cells)) == (runs, cells)
    assert all(len(cell.score) == 64 for cell in found.cells)


def trained(preset: str, public: dict, project: Path, *, methods: list[str], changes: dict) -> dict[str, dict]:
    """Scores by target after the workflow ran a preset for two steps, from random weights, in a copy of the project."""
    for name in ("Snakefile", "pipeline", "profiles", "params.yaml"):
        (project / name).symlink_to(ROOT / name)
    plain = {"weights": None}
    segmenters = {name: plain for name in ("daformer", "deeplabv2", "deeplabv3plus")} | {"hrda": {"inner": plain}}
    overlay = merge(public, {"segmenters": segmenters, "grid": {"methods": methods, "seeds": [0]}})
    (project / "small.yaml").write_text(yaml.safe_dump(merge(overlay, changes)))
    files = [str(PAPER / f"{preset}.yaml"), "small.yaml"]
    command = [sys.executable, "-m", "xdseg.cli", *(f"--configfile={file}" for file in files), "prepare", "urban"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    snakemake = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--configfile", *files]
    done = subprocess.run(snakemake, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    records = [json.loads(path.read_text()) for path in (project / "records/urban").rglob("*.json")]
    return {record["target"]: record for record in records}


@pytest.mark.slow
def test_gta_to_cityscapes_trains_predicts_and_scores(public, tmp_path):
    """Two steps of the classic preset on whole images at paper size; every pixel of the truth is counted."""
    changes = {"protocols": {"gta-to-cityscapes": {"training": {"steps": 2, "precision": "bf16"}}}}
    found = trained("gta_to_cityscapes", public, tmp_path, methods=["source-only-deeplabv2"], changes=changes)
    scores = found["cityscapes"]["scores"]
    assert found.keys() == {"cityscapes"} and scores["images"] == COUNT
    assert found["cityscapes"]["protocol"]["train_split"] == "full"
    assert len(scores["iou"]) == 19 and 0 <= scores["miou"] < 0.5
    lock = json.loads(Path("data/locks/urban/cityscapes--val.labels.json").read_text())
    scored = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert sum(map(sum, scores["confusion"])) == sum(lock["ids"].get(str(raw), 0) for raw in scored)


@pytest.mark.slow
def test_gta_to_three_targets_trains_predicts_and_scores(public, tmp_path):
    """Two steps of the published network on smaller crops; one run serves three targets, Mapillary at half its size."""
    smaller = {"training": {"steps": 2, "batch": 2, "precision": "bf16"}, "augmentation": {"crop": 256}}
    changes = {"protocols": {"gta-to-cbm": smaller}}
    found = trained("gta_to_cbm", public, tmp_path, methods=["source-only-daformer"], changes=changes)
    assert found.keys() == {"cityscapes", "bdd100k", "mapillary"}
    assert len({record["fingerprints"]["train"] for record in found.values()}) == 1
    assert found["mapillary"]["protocol"]["scoring"]["truth"] == "half"
    assert found["bdd100k"]["protocol"]["inference"]["size"] == [720, 1280]
    whole = json.loads(Path("data/locks/urban.json").read_text())["domains"]["mapillary"]["splits"]["val"]["pixels"]
    assert sum(map(sum, found["mapillary"]["scores"]["confusion"])) <= whole / 4


# per preset of adaptation: methods whose terms are all that its rows have
ADAPTED = {
    "gta_to_cityscapes": ["adaptsegnet-deeplabv2", "advent-deeplabv2", "minent-deeplabv2"],
    "gta_to_cityscapes_dacs": ["dacs+mfm-deeplabv2"],
    "synthia_to_cityscapes_classic": ["adaptsegnet-deeplabv2", "advent-deeplabv2", "minent-deeplabv2"],
    "synthia_to_cityscapes_dacs": ["dacs+mfm-deeplabv2"],
    "gta_to_cityscapes_daformer": ["daformer", "mic+mfm"],
    "gta_to_cityscapes_hr": ["hrda", "mic-hrda+mfm"],
    "synthia_to_cityscapes": ["mic+mfm"],
    "synthia_to_cityscapes_hr": ["mic-hrda+mfm"],
    "cityscapes_to_acdc": ["mic+mfm"],
    "cityscapes_to_acdc_hr": ["mic-hrda+mfm"],
    "cityscapes_to_dark_zurich": ["mic+mfm"],
    "cityscapes_to_dark_zurich_hr": ["mic-hrda+mfm"],
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ADAPTED)
def test_presets_of_adaptation_train_predict_and_score(preset, public, tmp_path):
    """Two steps of the published networks and terms, on images and crops of a quarter of the size, from random weights.

    The curve names every term that the methods have, and each of them is finite and has been computed.
    """
    high, methods = preset.endswith("_hr"), ADAPTED[preset]
    small = {"training": {"steps": 2, "precision": "bf16"}, "inference": {"size": [128, 256]}}
    whole = preset in ("gta_to_cityscapes", "synthia_to_cityscapes_classic")
    small["augmentation"] = {"crop": [128, 256] if whole else 256 if high else 128}
    if high:
        small["inference"] = {"size": [256, 512], "window": 256, "stride": 128}
    if preset.endswith("_dacs"):
        small["scoring"] = {"truth": [128, 256]}
    changes = {"protocols": {preset.replace("_", "-"): small}, "runtime": {"log_every": 1}}
    changes["segmenters"] = {"hrda": {"detail": 128, "detail_stride": 64}}
    rare = {"training": {"rare_class": {"min_pixels": 20}}}  # as images are small
    changes["methods"] = {method: rare for method in methods if METHODS[method].get("training")}
    found = trained(preset, public, tmp_path, methods=methods, changes=changes)
    assert len(found) == 1 and 0 <= next(iter(found.values()))["scores"]["miou"] < 0.5
    for method in methods:
        (curve,) = tmp_path.glob(f"results/urban/{method}/*/*/curve.jsonl")
        terms = {name for line in curve.read_text().splitlines() for name in json.loads(line)["losses"]}
        definition = parse(settings(preset, public)).methods[method]
        assert {name.partition("/")[0] for name in terms} >= {"source", *_kinds(preset, public, definition.adaptations)}


# per preset of foundation models: rows that are trained, and the terms of their losses
FOUNDATION = {
    "gta_to_cbm_peft": {"vfm-rein": {"class", "mask", "dice"}, "vltseg": {"class", "mask", "dice"}},
    "cityscapes_to_bm_mfuser": {
        "mfuser": {"class", "mask", "dice", "pixel_text"},
        "tqdm": {"class", "mask", "dice", "pixel_text", "language", "vision"},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", FOUNDATION)
def test_presets_of_foundation_models_train_predict_and_score(preset, public, tmp_path):
    """Two steps with the published recipe, on the tiny encoders, with drawn weights, and on small crops and images."""
    defined, rows = read_yaml(ROOT / "params.yaml")["segmenters"], FOUNDATION[preset]
    plain, tower = {"weights": None}, {"vfm": {"weights": None}, "vlm": {"weights": None, "tag": None}}
    changes = {"segmenters": {name: defined[name] | {"size": None} | plain for name in ("vfm-frozen", "vltseg")}}
    changes["segmenters"]["vltseg"] |= {"drop_path": 0.0, "blocks": None}
    if "mfuser" in preset:
        changes["segmenters"]["mfuser"] = merge(defined["mfuser"], tower)
        changes["segmenters"]["tqdm"] = merge(defined["tqdm"], {"vlm": tower["vlm"]})
    changes["methods"] = {row: {"training": {"steps": 2, "batch": 2}} for row in rows}
    size = {"inference": {"size": {"fit": [128, 256]}}}
    small = {"training": {"steps": 2}, "augmentation": {"crop": 128}, "domains": {"bdd100k": size, "mapillary": size}}
    small["inference"] = {"size": [128, 256], "window": 128, "stride": 85}
    if "mfuser" in preset:
        small["training"]["rare_class"] = {"min_pixels": 20}  # as images are small
    changes |= {"protocols": {preset.replace("_", "-"): small}, "runtime": {"log_every": 1}}
    found = trained(preset, public, tmp_path, methods=list(rows), changes=changes)
    assert {"bdd100k", "mapillary"} <= found.keys()
    for row, terms in rows.items():
        assert len(list(tmp_path.glob(f"records/urban/{row}/*/*.json"))) == len(found)
        (curve,) = tmp_path.glob(f"results/urban/{row}/*/*/curve.jsonl")
        named = {name for line in curve.read_text().splitlines() for name in json.loads(line)["losses"]}
        assert named == {f"source/{term}" for term in terms}


def _kinds(preset: str, public: dict, adaptations: tuple[str, ...]) -> set[str]:
    return {parse(settings(preset, public)).component("adaptations", name)[0] for name in adaptations}


def test_another_label_map_is_scored_without_inference(public):
    """Label map A or B of Mapillary changes the score's fingerprint alone; the lock holds both."""
    config = settings("gta_to_cbm", public)
    b = {str(cell.pair): cell for cell in expand(locked(config)).cells}
    config["suites"]["urban"]["domains"]["mapillary"]["label_map"] = "mapillary-a"
    a = {str(cell.pair): cell for cell in expand(Context.of(parse(config))).cells}
    moved = {pair for pair in a if a[pair].score != b[pair].score}
    assert moved == {"gta5->mapillary"}
    assert all(a[pair].predict == b[pair].predict for pair in a)


@pytest.mark.parametrize("overlay", THIRTEEN)
def test_a_subset_is_scored_without_inference(overlay, public):
    """Thirteen classes instead of sixteen: the same predictions, another score, on a board of its own."""
    config = settings(THIRTEEN[overlay], public)
    sixteen = expand(locked(config)).cells
    board, config = config["grid"]["board"], merge(config, read_yaml(PAPER / f"{overlay}.yaml"))
    assert config["grid"]["board"] == f"{board}_13"
    thirteen = expand(Context.of(parse(config))).cells
    assert [cell.predict for cell in sixteen] == [cell.predict for cell in thirteen]
    assert not {cell.score for cell in sixteen} & {cell.score for cell in thirteen}
    assert (len(sixteen[0].kept), len(thirteen[0].kept)) == (16, 13)


def test_sixteen_class_suite_ignores_the_other_three(public):
    """16b: terrain, truck and train are ignored where a 19-class suite has them; the files are the same."""
    nineteen = locked(settings("synthia_to_cityscapes", public)).lock
    sixteen = locked(settings("synthia16_to_cityscapes", public)).lock
    place = ("cityscapes", "val")
    assert nineteen.images(*place) == sixteen.images(*place) and nineteen.raw_labels(*place) == sixteen.raw_labels(
        *place
    )
    assert nineteen.labels(*place) != sixteen.labels(*place)
    ids = json.loads(Path("data/locks/urban/cityscapes--val.labels.json").read_text())["ids"]
    left_out = sum(ids.get(str(raw), 0) for raw in (22, 27, 31))
    assert left_out and sixteen.statistics(*place)[255] == nineteen.statistics(*place)[255] + left_out


def test_adaptation_sees_its_own_split_without_labels(public):
    """LoveDA: adaptation sees the target's validation images, its bound trains on the training images' labels."""
    cells = {(cell.method, cell.pair.target): cell for cell in expand(locked(settings("loveda", public))).cells}
    assert cells["dacs", "loveda_rural"].run.sees[-1] == ("loveda_rural", "val", "images")
    assert ("loveda_rural", "val", "labels") not in cells["dacs", "loveda_rural"].run.sees
    assert ("loveda_rural", "train", "labels") in cells["oracle", "loveda_rural"].run.sees


def test_pooled_and_each_condition_are_told_apart(public):
    """ACDC as one domain holds the images of its four conditions; each alone holds its own."""
    whole = locked(settings("cityscapes_to_acdc", public)).lock.layout
    names = [item.name for item in whole.items("acdc", "val")]
    each = [[item.name for item in whole.items(f"acdc_{w}", "val")] for w in ("fog", "night", "rain", "snow")]
    assert sorted(names) == sorted(chain(*each)) and all(each)


def test_nothing_is_locked_for_domains_that_the_grid_does_not_name(public):
    """A researcher with two data sets needs no third one."""
    locked(settings("gta_to_cityscapes", public))
    assert json.loads(Path("data/locks/urban.json").read_text())["domains"].keys() == {"gta5", "cityscapes"}
    locked(settings("cityscapes_to_acdc", public))  # adds to the lock
    assert json.loads(Path("data/locks/urban.json").read_text())["domains"].keys() == {"gta5", "cityscapes", "acdc"}


@pytest.mark.parametrize(
    ("domain", "train", "test", "excluded"),
    [
        ("gta5", "full", "val", True),  # the list is a part of it
        ("gta5", "train", "val", False),
        ("bdd100k", "train", "night", True),  # nights of train and val
        ("stare", "full", "val", True),
        ("stare", "train", "val", False),
    ],
)
def test_a_bound_is_not_tested_on_what_it_learnt(domain, train, test, excluded, public):
    """An oracle whose training split holds test images is left out, whatever the splits are called."""
    preset, source = ("vessels_field", "drive") if domain == "stare" else ("gta_to_cityscapes", "cityscapes")
    config = settings(preset, public)
    rules = {domain: {"train_split": train, "eval_split": test}}
    protocol = config["grid"]["protocol"]
    config["protocols"][protocol]["domains"] = {"drive": {"eval_split": "test"}} if domain == "stare" else {}
    config["protocols"][protocol]["domains"] |= rules
    config["grid"] |= {"pairs": [f"{source}->{domain}"], "methods": ["source-only", "oracle"]}
    found = expand(locked(config))
    assert {cell.method for cell in found.cells} == ({"source-only"} if excluded else {"source-only", "oracle"})
    assert [exclusion.method for exclusion in found.excluded] == (["oracle"] if excluded else [])
    assert not excluded or "which share images" in found.excluded[0].reason
