"""Encoders pre-trained on generated images: no domain's look, one objective for all, files that segmenters take."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import ROOT, small_config
from safetensors.torch import load_file
from test_cells import changed, prints
from test_contract import build

from xdseg.backbones import images as drawing
from xdseg.backbones.encoders import MapEncoder
from xdseg.backbones.images import draw_image
from xdseg.backbones.objective import MaskedImages, masked_error, random_mask
from xdseg.backbones.pretrain import batches, pretrain, save, train
from xdseg.backbones.pretrain import build as build_model
from xdseg.backbones.recipes import recipe_fingerprint, record_path
from xdseg.backbones.steps import LARGEST
from xdseg.backbones.worlds import HUES, LENGTHS, WORLDS, assert_disjoint, draw_style, hue_gap
from xdseg.cli import main
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.domains import STYLES
from xdseg.data.streetworld.domains import draw_style as domain_style
from xdseg.data.streetworld.settings import Streetworld
from xdseg.files import file_digest
from xdseg.params import merge, parse, read_yaml
from xdseg.pretrained import weights_identity
from xdseg.settings.backbones import Backbone, Images, Masking
from xdseg.settings.runtime import Runtime
from xdseg.workflow import Plan

ENCODERS = ("resnet18", "mit_b0", "xdseg_vit_tiny_patch8")
CPU = Runtime(device="cpu", log_every=2)
every_encoder = pytest.mark.parametrize("name", ENCODERS)


def small(name="mit_b0", **changes):
    """A recipe of seconds."""
    recipe = {
        "encoder": name,
        "images": {"count": 3, "height": 64, "width": 96},
        "crop": 64,
        "decoder_channels": 8,
        "training": {"steps": 3, "batch": 2, "lr": 1e-3, "precision": "bf16", "clip_grad_norm": 1.0},
    }
    return Backbone(**merge(recipe, changes))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("domain", STYLES)
def test_no_world_meets_a_domain_on_any_of_ten_axes(world, domain):
    """Whole intervals: apart on each axis; hues on the circle, by more than houses and plants depart from theirs."""
    assert len(LENGTHS) + len(HUES) == 10
    for axis in LENGTHS:
        (low, high), (bottom, top) = getattr(world, axis), getattr(STYLES[domain], axis)
        assert high < bottom or top < low, axis
    for axis, spread in HUES.items():
        (low, high), (bottom, top) = getattr(world, axis), getattr(STYLES[domain], axis)
        nearest = min(gap(low, high, bottom + turn, top + turn) for turn in (-2, -1, 0, 1, 2))
        assert nearest > 2 * spread, axis


def gap(low, high, bottom, top):
    """Distance of two intervals of the line, 0 where they meet."""
    return max(0.0, bottom - high, low - top)


def test_gap_between_hues_on_the_circle():
    """Within an interval 0, also where it wraps; else the way to the nearer end."""
    assert hue_gap(0.05, (0.98, 1.10)) == 0
    assert hue_gap(0.2, (0.98, 1.10)) == pytest.approx(0.10)
    assert hue_gap(0.9, (0.98, 1.10)) == pytest.approx(0.08)
    assert hue_gap(1.95, (0.0, 0.10)) == pytest.approx(0.05)


@pytest.mark.parametrize("axis", [*LENGTHS, *HUES])
def test_style_that_shares_an_axis_is_refused(axis):
    """One value that a domain could have is enough, and is named."""
    style = draw_style(Dice("test", 1))
    low, high = getattr(STYLES["rain"], axis)
    with pytest.raises(AssertionError, match=axis):
        assert_disjoint(replace(style, **{axis: (low + high) / 2}))


@pytest.mark.parametrize("domain", STYLES)
def test_every_domain_is_refused(domain):
    """A scene of a domain itself never passes."""
    with pytest.raises(AssertionError):
        assert_disjoint(domain_style(Streetworld(), domain=domain, split="train", index=0))


def test_every_scene_is_checked(monkeypatch):
    """Each drawn scene passes the check, and no image is a scene without it."""
    checked, rendered = [], []
    check, render = assert_disjoint, drawing.render_style
    monkeypatch.setattr("xdseg.backbones.worlds.assert_disjoint", lambda style: checked.append(style) or check(style))
    monkeypatch.setattr(
        drawing, "render_style", lambda style, *a, **k: rendered.append(style) or render(style, *a, **k)
    )
    settings = Images(height=64, width=64, scenes=0.5)
    for index in range(12):
        draw_image(settings, index)
    assert 0 < len(rendered) < 12 and all(a is b for a, b in zip(checked, rendered, strict=True))


def test_images_are_pure_and_differ():
    """One number, one image, whatever was drawn before; another number or seed is another image."""
    settings = Images(height=64, width=96)
    drawn = [draw_image(settings, index) for index in range(8)]
    assert all(image.shape == (64, 96, 3) and image.dtype == np.uint8 for image in drawn)
    assert np.array_equal(draw_image(settings, 5), drawn[5])
    others = [*drawn, draw_image(Images(height=64, width=96, seed=1), 5)]
    assert len({image.tobytes() for image in others}) == 9


def test_mask_hides_whole_patches_by_number():
    """0.6 of 4 x 4 patches is 10 of 16, in every image, at other places in each."""
    mask = random_mask(Masking(ratio=0.6, patch=8), (5, 32, 32), torch.Generator().manual_seed(0))
    assert mask.shape == (5, 1, 32, 32) and mask.sum((1, 2, 3)).tolist() == [640] * 5
    patches = mask.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)
    assert torch.equal(patches.all(-1), patches.any(-1))
    assert len({row.numpy().tobytes() for row in mask}) == 5


def test_error_counts_hidden_pixels_only():
    """Of 2 x 2 pixels two are hidden, off by 1 and 3 in one channel of three: 4 / 6."""
    images, drawn = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    drawn[0, 0] = torch.tensor([[1.0, 7.0], [-3.0, 7.0]])
    mask = torch.tensor([[[[True, False], [True, False]]]])
    assert masked_error(drawn, images, mask).item() == pytest.approx(4 / 6)


def test_hidden_pixels_cannot_be_seen():
    """What the decoder draws does not depend on what is hidden."""
    torch.manual_seed(0)
    model, images = MaskedImages(MapEncoder("mit_b0"), 8).eval(), torch.randn(1, 3, 64, 64)
    mask = random_mask(Masking(), (1, 64, 64), torch.Generator().manual_seed(0))
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(images, mask)
    model(torch.where(mask, 9.0, images), mask)
    assert torch.equal(*seen) and seen[0][mask.expand_as(images)].abs().max() == 0


@every_encoder
def test_encoder_gives_maps_and_learns_in_all_kept_parts(name):
    """Maps have the named widths and strides, on other sizes too; each kept parameter gets a gradient."""
    model = MaskedImages(MapEncoder(name), 8)
    encoder, images = model.encoder, torch.randn(2, 3, 64, 96)
    shapes = [(2, width, 64 // s, 96 // s) for width, s in zip(encoder.widths, encoder.strides, strict=True)]
    assert [tuple(value.shape) for value in encoder(images)] == shapes
    mask = random_mask(Masking(), (2, 64, 96), torch.Generator().manual_seed(0))
    model(images, mask).backward()
    kept, parameters = encoder.kept(), dict(encoder.network.named_parameters())
    assert all((parameters[key].grad is not None) == (key in kept) for key in parameters)


def test_vit_is_tiny():
    """At most 4.0 million parameters, patches of 8, no class token, known to timm by its name."""
    network = timm.create_model("xdseg_vit_tiny_patch8")
    assert sum(p.numel() for p in network.parameters()) == 3_645_504 <= 4_000_000
    assert network.patch_embed.patch_size == (8, 8) and network.num_prefix_tokens == 0
    with pytest.raises(ValueError, match="xdseg pretrain"):
        timm.create_model("xdseg_vit_tiny_patch8", pretrained=True)


@every_encoder
def test_file_is_small_half_precision_and_loads(tmp_path, name):
    """At most 8 MiB of fp16; the segmenters on that encoder, or timm, take it, and then hold its numbers."""
    path = tmp_path / f"{name}.safetensors"
    torch.manual_seed(7)
    said = save(MapEncoder(name), path)
    weights = load_file(path)
    assert said["bytes"] == path.stat().st_size <= LARGEST == 8 * 1024 * 1024
    assert {value.dtype for value in weights.values()} <= {torch.float16, torch.int64}
    for network in takers(name, path):
        held = network.state_dict()
        assert all(torch.equal(held[key], value.to(held[key].dtype)) for key, value in weights.items())
        assert all(key.startswith("layer4.") for key in held.keys() - weights.keys())


def takers(name, path):
    """Networks that were filled from the file."""
    if name.startswith("xdseg"):
        network = timm.create_model(name)
        network.load_state_dict(load_file(path))
        return [network]
    segmenters = {"resnet18": ["deeplabv3plus"], "mit_b0": ["daformer", "segformer"]}[name]
    return [build(segmenter, weights=str(path)).encoder for segmenter in segmenters]


@every_encoder
def test_same_recipe_gives_the_same_bytes(tmp_path, name):
    """Twice three steps: one file; another seed is another file."""
    made = [
        pretrain(small(name, seed=seed), tmp_path / f"{i}.safetensors", runtime=CPU) for i, seed in enumerate((0, 0, 1))
    ]
    digests = [result["weights_sha256"] for result in made]
    assert digests[0] == digests[1] != digests[2]
    assert made[0]["images_seen"] == 6 and len(made[0]["loss"]) == 3 and made[0]["loss"] == made[1]["loss"]


def test_it_learns():
    """Where an image has one colour, 40 steps teach to paint it over what is hidden: half the error goes."""
    recipe = {"steps": 40, "batch": 4, "lr": 3e-3, "precision": "fp32"}
    settings = small("resnet18", decoder_channels=64, training=recipe)
    images = np.stack([np.full((64, 96, 3), value, np.uint8) for value in (20, 80, 180, 240)])
    losses = train(build_model(settings), images, settings, device=torch.device("cpu"), log_every=40)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_crops_follow_seed_and_step():
    """Step by step the same crops, which differ from each other; colours are those of the image."""
    settings = small()
    images = np.stack([np.full((64, 96, 3), value, np.uint8) for value in (10, 20, 30)])
    first, again = list(batches(images, settings)), list(batches(images, settings))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert {tuple(batch.shape) for batch in first} == {(2, 3, 64, 64)}
    assert {value for batch in first for value in batch.unique().tolist()} <= {10, 20, 30}


def test_recipe_decides_the_fingerprint(monkeypatch):
    """A changed setting or code version is another recipe; a default written out is not."""
    plain = recipe_fingerprint(small())
    assert recipe_fingerprint(small(masking={"ratio": 0.6})) == plain
    assert recipe_fingerprint(small(masking={"ratio": 0.5})) != plain
    monkeypatch.setitem(__import__("xdseg.versions", fromlist=["VERSIONS"]).VERSIONS, "backbones", 2)
    assert recipe_fingerprint(small()) != plain


def test_crop_that_does_not_fit_is_refused():
    """Crops are multiples of patches and of the coarsest cells."""
    with pytest.raises(ValueError, match="crop 48 is no multiple of 32"):
        small(crop=48)


def test_command_makes_adopts_and_publishes(project, capsys):
    """A path makes the file in results/, once; a name also makes it the default, with a record that tells all."""
    settings = small()
    project.write(small_config() | {"backbones": {"mine": settings.model_dump(mode="json")}})
    record = record_path("mine", settings)
    assert Plan(parse(project.config)).backbones == [str(record)]
    assert main(["pretrain", str(record)]) == 0
    weights, default = record.with_suffix(".safetensors"), Path("backbones/mine.safetensors")
    written = weights.stat().st_mtime_ns
    assert not default.exists()
    assert main(["pretrain", "mine"]) == 0
    assert weights.stat().st_mtime_ns == written, "adopted"
    assert file_digest(default) == weights_identity(str(default)) == json.loads(record.read_text())["weights_sha256"]
    said = json.loads(default.with_suffix(".json").read_text())
    assert said["fingerprint"] == recipe_fingerprint(settings) and said["recipe"] == settings.model_dump(mode="json")
    assert said["images_seen"] == 6 and said["minutes"] >= said["images_minutes"] and said["environment"]["device"]


def test_command_refuses_what_the_settings_do_not_give(project, capsys):
    """An unknown name is answered with the nearest, a path of other settings with the right one."""
    project.write(small_config() | {"backbones": {"mine": small().model_dump(mode="json")}})
    assert main(["pretrain", "mime"]) == 2
    assert "no backbone 'mime' in params.yaml; did you mean 'mine'?" in capsys.readouterr().err
    assert main(["pretrain", "results/backbones/mine-00000000/mine.json"]) == 2
    assert f"the settings in force give {record_path('mine', small())}" in capsys.readouterr().err


def test_default_enters_the_fingerprint_by_its_content(project):
    """A segmenter that starts from a backbone is another run; pre-trained anew, it is another again."""
    before = prints()
    Path("backbones").mkdir()
    moved = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        path = Path("backbones/resnet18.safetensors")
        said = save(MapEncoder("resnet18"), path)
        path.with_suffix(".json").write_text(json.dumps(said))
        moved.append(prints(segmenters={"deeplabv3plus": {"weights": str(path)}}))
    everything = [{"train", "predict", "score"}] * 6
    assert changed(before, moved[0]) == changed(moved[0], moved[1]) == everything


DEFAULTS = sorted((ROOT / "backbones").glob("*.json"))


@pytest.mark.parametrize("record", DEFAULTS, ids=lambda path: path.stem)
def test_committed_default_is_the_recipes(record):
    """What lies in backbones/ was made by the recipe in params.yaml, and is the file that its record names."""
    said = json.loads(record.read_text())
    settings = parse(read_yaml(ROOT / "params.yaml")).backbones[record.stem]
    assert said["fingerprint"] == recipe_fingerprint(settings)
    weights = record.with_suffix(".safetensors")
    assert said["weights_sha256"] == file_digest(weights) and weights.stat().st_size <= LARGEST
