"""The small vision-language model: captions that are true, a vocabulary that holds all names, and one file for both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, small_config
from open_clip.loss import ClipLoss
from safetensors.torch import load_file
from torch.nn import functional

from xdseg.backbones import worlds
from xdseg.backbones.clip import evidence as measuring
from xdseg.backbones.clip import scenes, words
from xdseg.backbones.clip.captions import caption, count, drawn_classes, phrase, sentence
from xdseg.backbones.clip.evidence import Extent, retrieved, zero_shot
from xdseg.backbones.clip.model import Contrast, Texts, configuration, embeddings
from xdseg.backbones.clip.pretrain import build, pretrain
from xdseg.backbones.clip.probe import loaded, probe_names, probe_patches
from xdseg.backbones.clip.scenes import batch, captioned, draw_scene, draw_scenes
from xdseg.backbones.probe import Probe
from xdseg.backbones.recipes import recipe_fingerprint, record_path
from xdseg.backbones.steps import LARGEST
from xdseg.cli import main
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.domains import STYLES
from xdseg.data.streetworld.settings import CLASSES, Streetworld
from xdseg.data.tensors import normalise
from xdseg.datasets.spaces import SPACES
from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.params import merge, parse, read_yaml
from xdseg.pretrained import model_config, weights_identity
from xdseg.segmenters.foundation.encoders_vlm import VisionLanguage
from xdseg.segmenters.foundation.text import ClassNames, name_tokens
from xdseg.settings.clip import Clip, Scenes
from xdseg.settings.encoders import VisionLanguageModel
from xdseg.settings.runtime import Runtime
from xdseg.workflow import Plan

CPU = Runtime(device="cpu", log_every=2)
FEW = Extent(scenes=2, sets=1, of=4)
PROMPT = "a clean origami of a"
COMMITTED = ROOT / "backbones" / "tiny_clip.json"


def small(**changes):
    """A recipe of seconds."""
    recipe = {
        "kind": "clip",
        "images": {"count": 2, "height": 64, "width": 96},
        "crop": 32,
        "embed": 24,
        "wide": {"crop": 64, "batch": 3, "every": 2},
        "vision": {"width": 32, "head_width": 16, "layers": 2, "image": 32},
        "text": {"width": 16, "heads": 2, "layers": 1},
        "training": {"steps": 2, "batch": 4, "lr": 1e-3, "precision": "bf16"},
    }
    return Clip(**merge(recipe, changes))


def committed():
    """The recipe in params.yaml."""
    return Clip(**read_yaml(ROOT / "params.yaml")["backbones"]["tiny_clip"])


def labels(*rows):
    """Labels of class names, one letter per pixel."""
    names = {"r": "road", "s": "sky", "c": "car", "p": "person", "b": "building", "t": "traffic light"}
    return np.array([[CLASSES.index(names[letter]) for letter in row] for row in rows], np.uint8)


def style(**changes):
    """Of one scene of the worlds, with some values."""
    return replace(draw_scene(Scenes(height=64, width=64), 0).style, **changes)


class Loaded(Dice):
    """Dice whose numbers are given, the last one for ever."""

    def __init__(self, *numbers):
        super().__init__("loaded")
        self.numbers = list(numbers)

    def unit(self):
        return self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]


def everything(text):
    """Any sentence is read whole."""
    return True


ROAD_WITH_CARS = labels("ssssssssss", "rrrrrrrrrr", "rccrrrccrr", "rccrrrccrr", "rccrrrccrr", "rrrrrrrrrr")


def test_caption_says_what_is_there():
    """Worked out by hand: 38 pixels of road, 12 of two cars, 10 of sky, in a scene at night."""
    said = caption(ROAD_WITH_CARS, style(lamps=1.2, sun=0.0), Loaded(0.999), fits=everything)
    assert said == "mostly drivable ground, two vehicles and the sky"
    night = style(lamps=1.2, sun=0.0, sky_hue=1.0, sky_saturation=0.5, asphalt=0.7)
    said = caption(ROAD_WITH_CARS, night, Loaded(0.0), fits=everything)
    assert said == "mostly a pale road, two cars and red sky at night"
    assert count(CLASSES.index("car") == ROAD_WITH_CARS) == 2


def test_caption_of_a_scene():
    """Of one scene, compared with its picture: a street in snow by day, a bus behind a car, people with umbrellas."""
    scene = draw_scene(Scenes(), 3)
    said = [caption(scene.labels, scene.style, Dice("test", number), fits=everything) for number in range(3)]
    assert said == [
        "a green building, terrain, several poles and a fence by day",
        "a dark road, two buses, sky and three living beings",
        "two vehicles, sky, a fence and three traffic signs under clouds",
    ]


def test_specks_are_not_counted():
    """Five connected pixels are no car of their own; six are. Corners do not connect."""
    mask = np.zeros((9, 9), bool)
    mask[0, :6] = mask[4, :5] = True
    assert count(mask) == 1
    mask[1, 6] = True
    mask[2:4, 6:9] = True
    assert count(mask) == 2


def test_small_and_absent_classes_are_not_named():
    """0.3% of the pixels are needed; four classes are named at most, the largest first, each as likely."""
    shares = np.zeros(len(CLASSES))
    shares[:6] = (0.4, 0.3, 0.2, 0.05, 0.0031, 0.0029)
    found = [drawn_classes(shares, Dice("few", number)) for number in range(400)]
    assert {len(names) for names in found} == {4} and CLASSES[5] not in set().union(*found)
    assert all(names == sorted(names, key=CLASSES.index) for names in found)
    often = [sum(name in names for names in found) for name in CLASSES[:5]]
    assert all(abs(times - 320) < 5 * 8 for times in often), "4 of 5, with a deviation of 8"


@pytest.mark.parametrize(("cars", "said"), [(1, "a car"), (2, "two cars"), (3, "three cars"), (5, "several cars")])
def test_number_of_things(cars, said):
    """Up to three a number, beyond that a word."""
    street = labels("rrr" * 6, *["ccr" * cars + "rrr" * (6 - cars)] * 3)
    assert phrase("car", street, style(), Loaded(0.0)) == said


@pytest.mark.parametrize(
    ("hue", "name"), [(0.0, "red"), (0.97, "red"), (1.3, "green"), (0.72, "violet"), (-0.1, "pink")]
)
def test_colours_on_the_circle(hue, name):
    """The nearest name, however often the hue went round."""
    assert words.hue_name(hue) == name


def test_pale_colours_are_not_named():
    """A grey sky has no hue to speak of; asphalt is pale, dark or neither."""
    assert words.adjective("sky", style(sky_saturation=0.29, sky_hue=0.6)) is None
    assert words.adjective("sky", style(sky_saturation=0.31, sky_hue=0.6)) == "blue"
    assert [words.adjective("road", style(asphalt=value)) for value in (0.2, 0.4, 0.6)] == ["dark", None, "pale"]


def test_long_captions_are_shortened():
    """First the ending goes, then the opening, then the smallest parts; one class is always left."""
    night = style(lamps=1.2, sun=0.0, sky_saturation=0.0, asphalt=0.4)
    cut = [
        caption(ROAD_WITH_CARS, night, Loaded(0.0), fits=lambda text, n=n: len(text.split()) <= n)
        for n in (9, 7, 6, 4, 1)
    ]
    assert cut == [
        "mostly a road, two cars and sky at night",
        "mostly a road, two cars and sky",
        "a road, two cars and sky",
        "a road",
        "a road",
    ]
    assert sentence("", ["a car"], "") == "a car"


@pytest.mark.parametrize("name", STYLES)
def test_domain_in_the_scenes_is_refused(monkeypatch, name):
    """A range that overlaps a domain's stops the drawing and names the axis."""
    monkeypatch.setattr(worlds, "WORLDS", (replace(worlds.WORLDS[0], focal=STYLES[name].focal),))
    with pytest.raises(AssertionError, match="focal"):
        draw_scenes(Scenes(height=64, width=64), first=0, count=1)


def test_every_class_can_be_said():
    """By its own name first, singular; no class is both stuff and thing."""
    assert sorted([*words.STUFF, *words.THINGS]) == sorted(CLASSES)
    for name, pairs in words.THINGS.items():
        assert pairs[0][0] == name
    for name, nouns in words.STUFF.items():
        assert nouns[0] in (name, f"a {name}")


def test_vocabulary_holds_every_name():
    """Classes of all suites and spaces, streetworld's, and MFuser's prompt: each has an embedding in the recipe's."""
    texts, names = Texts(committed()), {PROMPT, *CLASSES, *(name for space in SPACES.values() for name in space)}
    for lock in (ROOT / "data" / "locks").glob("*.json"):
        names |= set(json.loads(lock.read_text())["classes"])
    assert {"drivable", "roadside-object", "nucleus", "vessel", "motorcycle"} <= names
    rows = texts.rows(sorted(names))
    assert torch.equal(torch.tensor(texts.vocabulary)[rows], texts.tokenizer(sorted(names)))
    with pytest.raises(ValueError, match="'giraffe' has a token that the vocabulary lacks"):
        texts.rows(["a road", "giraffe"])


def test_captions_need_no_further_token():
    """Crops of a dozen scenes: each caption is read whole, and its tokens have embeddings, without any names."""
    settings = small(text={"context": 16})
    texts = Texts(settings)
    drawn = draw_scenes(Scenes(), first=0, count=12)
    said = captioned(drawn, settings, stream="test", step=0, crop=32, count=400, fits=texts.fits)[1]
    rows = texts.rows(said)
    assert (rows == len(texts.vocabulary) - 1).sum(1).tolist() == [1] * 400, "the end is behind each caption"
    assert [len(texts.tokenizer.encode(text)) + 2 for text in said] == (rows != 0).sum(1).tolist()
    assert len(set(said)) > 300


def test_some_steps_see_larger_crops():
    """Of small ones the batch, and each second step of larger ones another number; none where there are none."""
    settings, texts = small(), Texts(small())
    drawn = draw_scenes(settings.images, first=0, count=1)
    shapes = [tuple(batch(drawn, settings, step, texts.fits)[0].shape) for step in range(4)]
    assert shapes == [(4, 3, 32, 32), (3, 3, 64, 64)] * 2
    assert [small(wide=None).crops_at(step) for step in (0, 1)] == [(32, 4)] * 2


def test_crops_and_captions_follow_seed_and_step():
    """The same twice; another step, stream or seed is another batch. A caption tells of its own crop."""
    settings, texts = small(scale=[0.9, 1.1]), Texts(small())
    drawn = draw_scenes(settings.images, first=0, count=2)

    def drawn_batch(stream="a", step=0, seed=0):
        changed = settings.model_copy(update={"seed": seed})
        crops, said = captioned(drawn, changed, stream=stream, step=step, crop=32, count=3, fits=texts.fits)
        return crops.numpy().tobytes(), tuple(said)

    assert drawn_batch() == drawn_batch()
    assert len({drawn_batch(), drawn_batch("b"), drawn_batch(step=1), drawn_batch(seed=1)}) == 4


def test_caption_is_of_the_crop(monkeypatch):
    """Where an image shows its labels, what the caption is written from is what the crop shows, flips and all."""
    drawn = draw_scenes(Scenes(height=64, width=96), first=0, count=1)
    shown = [replace(scene, image=np.repeat(scene.labels[..., None], 3, axis=2)) for scene in drawn]
    read = []
    monkeypatch.setattr(scenes, "caption", lambda labels, *_, **__: read.append(labels) or "a car")
    crops = captioned(shown, small(scale=[0.999, 1.001]), stream="a", step=0, crop=32, count=6, fits=everything)[0]
    assert all(np.array_equal(crop[0].numpy(), labels) for crop, labels in zip(crops, read, strict=True))


def test_loss_is_clips():
    """With a share of 0 it is open_clip's loss of open_clip's forward; else the mean of the patches takes its part."""
    settings, texts = small(), Texts(small())
    config = configuration(settings, texts.vocabulary)
    torch.manual_seed(0)
    model = Contrast(config, patches=0.0).eval()
    images, rows = torch.randn(4, 3, 32, 32), texts.rows(["a car", "a road", "two cars", "trees"])
    tokens = embeddings(model.network, images)[0]
    words_, scale = functional.normalize(model.network.encode_text(rows), dim=-1), model.network.logit_scale.exp()
    plain = ClipLoss()(functional.normalize(tokens[:, 0], dim=-1), words_, scale)
    dense = ClipLoss()(functional.normalize(tokens[:, 1:].mean(1), dim=-1), words_, scale)
    torch.testing.assert_close(model(images, rows), plain)
    model.patches = 0.25
    torch.testing.assert_close(model(images, rows), 0.75 * plain + 0.25 * dense)
    theirs = model.network(images, rows)
    torch.testing.assert_close(ClipLoss()(*theirs[:3]), plain)


def test_evidence_of_a_perfect_model(monkeypatch):
    """Embeddings that hold the answer score 1; constant ones the share of the class that is always said."""
    names = torch.eye(len(CLASSES))
    scene = draw_scene(Scenes(height=64, width=96), 0)
    middle = torch.from_numpy(scene.labels[4::8, 4::8].astype(np.int64))
    monkeypatch.setattr(measuring, "embedded", lambda network, texts, said: names)
    told = torch.cat([torch.zeros(1, 1, len(CLASSES)), names[middle.flatten()][None]], dim=1)
    monkeypatch.setattr(measuring, "embeddings", lambda network, images: (told, tuple(middle.shape)))
    found = zero_shot(None, None, [(scene.image, scene.labels)])
    shares = torch.bincount(middle.flatten(), minlength=len(CLASSES)) / middle.numel()
    assert (found["accuracy"], found["miou"]) == (1, 1)
    assert found["commonest"] == pytest.approx(shares.max().item(), abs=1e-4)
    always = names[torch.full_like(middle, CLASSES.index("sky")).flatten()][None]
    told[:, 1:] = always
    found = zero_shot(None, None, [(scene.image, scene.labels)])
    assert found["accuracy"] == pytest.approx(shares[CLASSES.index("sky")].item(), abs=1e-4)


def test_tiles_keep_their_places(monkeypatch):
    """Where an embedding is the patch's mean colour, tiles give what the whole image gives; a network sees the tile."""
    image, seen = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(0)), []

    def mean_colours(network, images):
        seen.append(tuple(images.shape))
        means = functional.avg_pool2d(images, 8)
        return functional.pad(means.flatten(2).transpose(1, 2), (0, 0, 1, 0)), tuple(means.shape[-2:])

    monkeypatch.setattr(measuring, "embeddings", mean_colours)
    whole, tiled = (measuring.embedded_patches(None, image, tile=tile) for tile in (None, 16))
    assert torch.equal(whole, functional.avg_pool2d(image, 8).permute(1, 2, 0)) and torch.equal(tiled, whole)
    assert seen == [(1, 3, 32, 64), (8, 3, 16, 16)]


def test_retrieval_counts_own_captions(monkeypatch):
    """Of four crops whose embeddings are those of captions 0, 1, 2 and again 2, three find theirs; no caption twice."""
    said = ["a car", "a car", "a road", "trees", "sky", "grass"]
    crops = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    monkeypatch.setattr(measuring, "captioned", lambda *_, **__: (crops, said))
    monkeypatch.setattr(measuring, "embedded", lambda network, texts, chosen: torch.eye(4)[: len(chosen)])
    monkeypatch.setattr(measuring, "embeddings", lambda network, images: (torch.eye(4)[[0, 1, 2, 2]][:, None], (1, 1)))
    assert retrieved(None, [], small(), Texts(small()), FEW, 32, 0) == 0.75


def test_same_recipe_gives_the_same_bytes(tmp_path):
    """Twice two steps: one file and one record; another seed is another file; what is measured changes nothing."""
    recipes = ((0, FEW), (0, replace(FEW, scenes=1, of=2)), (1, FEW))
    made = [
        pretrain(small(seed=seed), tmp_path / f"{number}.safetensors", runtime=CPU, extent=extent)
        for number, (seed, extent) in enumerate(recipes)
    ]
    digests = [said["weights_sha256"] for said in made]
    assert digests[0] == digests[1] != digests[2] and made[0]["loss"] == made[1]["loss"]
    assert made[0]["images_seen"] == 4 + 3
    assert set(load_file(tmp_path / "0.safetensors")) == set(build(small(), made[0]["model_cfg"]).network.state_dict())
    assert {value.dtype for value in load_file(tmp_path / "0.safetensors").values()} == {torch.float16}


def test_it_learns():
    """Two crops of two colours and their captions: the loss of a batch falls below a third of that of chance."""
    settings, texts = small(), Texts(small())
    model = build(settings, configuration(settings, texts.vocabulary)).train()
    images = torch.stack([torch.full((3, 32, 32), value) for value in (-1.0, 1.0)])
    rows = texts.rows(["a car", "sky"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(40):
        loss = model(images, rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < np.log(2) / 3


def test_recipe_decides_the_fingerprint(monkeypatch):
    """A changed setting, its own version or the shared one is another recipe; a default written out is not."""
    plain = recipe_fingerprint(small())
    assert recipe_fingerprint(small(patches=0.5)) == plain
    others = {recipe_fingerprint(small(**change)) for change in ({"patches": 0}, {"names": ["wall"]}, {"wide": None})}
    for part in ("backbones", "backbones clip"):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("xdseg.versions", fromlist=["VERSIONS"]).VERSIONS, part, 9)
            others.add(recipe_fingerprint(small()))
    assert len(others | {plain}) == 6


def test_recipes_are_told_apart_in_one_line():
    """By kind: an unknown one, a key of the other, and sizes that do not fit, each by its key."""

    def refused(entry):
        with pytest.raises(BadInput) as caught:
            parse(small_config() | {"backbones": {"mine": entry}})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    entry = small().model_dump(mode="json")
    assert "backbones.mine: no such kind; take clip, or leave kind out" in refused(entry | {"kind": "clop"})
    assert "backbones.mine.masking: no such key" in refused(entry | {"masking": {"ratio": 0.5}})
    assert "backbones.mine.text.widht: no such key; did you mean 'width'?" in refused(
        merge(entry, {"text": {"widht": 8}})
    )
    assert "crop or image of 30 is no multiple of 8" in refused(entry | {"crop": 30})
    assert "must divide the widths" in refused(merge(entry, {"text": {"heads": 3}}))


def test_command_makes_and_publishes_one_record(project, monkeypatch, capsys):
    """The record beside the weights is the configuration that a segmenter names, and the workflow knows both."""
    monkeypatch.setitem(pretrain.__kwdefaults__, "extent", FEW)
    settings = small()
    project.write(small_config() | {"backbones": {"mine": settings.model_dump(mode="json")}})
    record = record_path("mine", settings)
    assert Plan(parse(project.config)).backbones == [str(record)]
    assert main(["pretrain", "mine"]) == 0
    written = record.with_suffix(".safetensors").stat().st_mtime_ns
    assert main(["pretrain", str(record)]) == 0
    assert record.with_suffix(".safetensors").stat().st_mtime_ns == written, "adopted"
    default, said = Path("backbones/mine.safetensors"), json.loads(Path("backbones/mine.json").read_text())
    assert file_digest(default) == weights_identity(str(default)) == said["weights_sha256"]
    assert said["fingerprint"] == recipe_fingerprint(settings) and set(said["evidence"]) == {"before", "after"}
    assert model_config("backbones/mine.json")["vocabulary"] == Texts(settings).vocabulary
    model = segmenters_model("backbones/mine.json", str(default))
    assert torch.equal(model.text.token_embedding.weight, load_file(default)["text.token_embedding.weight"].float())


def segmenters_model(record, weights):
    """As MFuser makes it."""
    settings = VisionLanguageModel(model=str(record), weights=str(weights), class_token_twice=False)
    model = VisionLanguage(settings, patch=None, fused=True, where="mfuser.vlm").eval()
    model.load_pretrained()
    return model


def test_probe_reads_the_tower(tmp_path):
    """The same twice; another seed is another tower, a file decides whatever the seed; names are scored too."""
    settings, amount = small(), Probe(train=2, test=1, cells=40, targets=("night",))
    world = Streetworld(height=64, width=96, train=2, val=1)
    pretrain(settings, tmp_path / "a.safetensors", runtime=CPU, extent=FEW)
    for measure in (probe_patches, probe_names):
        found = [
            measure(settings, weights, seed=seed, settings=amount, scenes=world)["night"]
            for weights, seed in (
                (None, 0),
                (None, 0),
                (tmp_path / "a.safetensors", 0),
                (tmp_path / "a.safetensors", 1),
            )
        ]
        assert found[0] == found[1] and found[2] == found[3] and all(0 <= value <= 1 for value in found)
    held = loaded(settings, tmp_path / "a.safetensors", 0).state_dict()
    assert all(torch.equal(held[key], value.float()) for key, value in load_file(tmp_path / "a.safetensors").items())


@pytest.mark.skipif(not COMMITTED.exists(), reason="the weights are not here")
def test_committed_model_is_what_segmenters_load():
    """At most 8 MiB, made by the recipe; its names' embeddings are finite and differ, also behind learnt tokens."""
    said, weights = json.loads(COMMITTED.read_text()), COMMITTED.with_suffix(".safetensors")
    assert weights.stat().st_size <= LARGEST and said["recipe"] == committed().model_dump(mode="json")
    assert said["model_cfg"] == configuration(committed(), Texts(committed()).vocabulary)
    model, names = segmenters_model(COMMITTED, weights), [*CLASSES, "motorcycle", "far-object"]
    found = ClassNames(name_tokens(model, names, length=6, where="t"), model.text, contexts=0, where="t")(model.text)
    assert found.isfinite().all()
    alike = functional.normalize(found, dim=-1) @ functional.normalize(found, dim=-1).T
    assert (alike - torch.eye(len(names))).max() < 0.999
    ids = name_tokens(model, CLASSES, length=5, where="t")
    assert ClassNames(ids, model.text, contexts=8, where="t")(model.text).isfinite().all()
    tower = model.tower
    tokens = tower.embed(model.normalised(normalise(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))))
    assert tokens.grid == (16, 16) and len(tower.blocks) == 8


@pytest.mark.skipif(not COMMITTED.exists(), reason="the weights are not here")
def test_committed_model_finds_captions_on_scenes_it_has_not_seen():
    """Of 64 captions one is right by chance, and about one in 64 before training; the recorded figure can be redone."""
    said, settings = json.loads(COMMITTED.read_text())["evidence"], committed()
    assert said["before"]["retrieval"] < 0.06 and said["after"]["retrieval"] > 5 / 64
    network = loaded(settings, COMMITTED.with_suffix(".safetensors"), 0)
    held_out = draw_scenes(settings.images, first=settings.images.count, count=12)
    with torch.no_grad():
        found = [retrieved(network, held_out, settings, Texts(settings), Extent(), settings.crop, n) for n in range(2)]
    assert np.mean(found) > 3 / 64
