"""Presets of the foundation-model family: at paper size nothing of the tiny entries is left, at tiny size rows fit."""

import open_clip
import pytest
import timm
import torch
from conftest import ROOT
from test_mfuser import CITYSCAPES

from xdseg.cells import Context
from xdseg.grid import expand
from xdseg.merging import merge
from xdseg.params import Params, parse, read_yaml
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.eomt_weights.load import encoder_state
from xdseg.segmenters.foundation import text
from xdseg.settings.training import Training

PRESETS = ROOT / "pipeline/presets"
MFUSER = ("paper/gta_to_cbm_mfuser", "paper/cityscapes_to_bm_mfuser")
PEFT = "paper/gta_to_cbm_peft"
TINY = ("street_foundation", "streetworld_foundation")
DINO, EVA = {"weights": "timm"}, {"weights": "open_clip", "tag": "merged2b_s6b_b61k"}
CLIP = {"model": "ViT-L-14-336-quickgelu", "weights": "open_clip", "tag": "openai", "positions": "bilinear"}
SIGLIP = {"model": "ViT-L-16-SigLIP-384", "weights": "open_clip", "tag": "webli", "positions": "bilinear"}
BOTH = {"vfm": DINO, "vlm": EVA}
PATCHES = {"weights": "timm", "size": 512}
CONTROLS = {  # what differs from MFuser with EVA-02
    "mfuser": {},
    "mfuser-no-fuser": {"fuser": {"kind": "none"}},
    "mfuser-vfm-only": {"streams": "vfm"},
    "mfuser-vlm-only": {"streams": "vlm"},
    "mfuser-conv": {"fuser": {"scan": "none"}},
    "mfuser-separate": {"fuser": {"kind": "separate-mvfuser"}},
    "mfuser-separate-attention": {"fuser": {"kind": "separate-attention"}},
    "mfuser-concat-attention": {"fuser": {"kind": "concat-attention"}},
    "mfuser-bi-deformable": {"fuser": {"kind": "bi-deformable-attention"}},
    "mfuser-no-enhancer": {"text": {"enhancer": "none"}},
    "mfuser-mamba-text": {"text": {"enhancer": "mamba"}},
    "mfuser-attention-text": {"text": {"enhancer": "self-attention"}},
    "mfuser-cross-text": {"text": {"enhancer": "cross-attention"}},
}
SIXTEEN = {"patch": 16, "text": {"contexts": 5}}
TEXTS = {name: BOTH | changes for name, changes in CONTROLS.items()} | {
    "mfuser-clip": {"vfm": DINO, "vlm": CLIP, "fuser": {"project": "always"}} | SIXTEEN,
    "mfuser-siglip": {"vfm": DINO, "vlm": SIGLIP, "pixel_text": {"temperature": None}} | SIXTEEN,
    "tqdm": {"vlm": EVA},
}
TUNINGS = ("frozen", "full", "lora", "dora", "rein", "soma")
TUNED = {f"vfm-{kind}": PATCHES | {"tuning": {"kind": kind}} for kind in TUNINGS}
VLTSEG = {
    **{"encoder": "eva02_large_patch14_clip_224", "tuning": {"kind": "full"}, "neck": {"scaling": "learnt"}},
    **{"drop_path": 0.2, "blocks": (9, 14, 19, 23)},
}
FROM_SCRATCH = {  # row of a preset: its network, with no other setting than what differs from the declared defaults
    **{(PEFT, row): changes for row, changes in (TUNED | {"vltseg": PATCHES | VLTSEG}).items()},
    **{(MFUSER[0], row): changes for row, changes in TEXTS.items()},
    **{(MFUSER[1], row): TEXTS[row] for row in ("mfuser", "mfuser-clip", "mfuser-siglip", "tqdm")},
}
REIN = {"steps": 40000, "batch": 4, "lr": 1e-4, "weight_decay": 0.05, "poly_power": 0.9}
RARE = {"rare_class": {"temperature": 100}}
RECIPE = {"steps": 20000, "batch": 2, "lr": 1e-4, "weight_decay": 1e-5, "warmup": 0.075, "poly_power": 0.9} | RARE
RECIPES = {  # of rows that have another than the preset's
    (PEFT, "vltseg"): REIN | {"steps": 5000, "batch": 16, "clip_grad_norm": 0.01},
    **{(preset, "mfuser-clip"): RECIPE | {"weight_decay": 1e-4} for preset in MFUSER},
    (MFUSER[0], "tqdm"): RECIPE | {"lr": 1e-5, "batch": 8, "weight_decay": 1e-4},
    (MFUSER[1], "tqdm"): RECIPE | {"batch": 8},
}


def params(preset: str) -> Params:
    """Settings of a preset over params.yaml."""
    return parse(merge(read_yaml(ROOT / "params.yaml"), read_yaml(PRESETS / f"{preset}.yaml")))


def network(found: Params, row: str, classes=CITYSCAPES) -> Segmenter:
    """A row's network on the meta device, without storage."""
    kind, settings = found.component("segmenters", found.methods[row].segmenter)
    with torch.device("meta"):
        return SEGMENTERS[kind].load()(settings, classes)


def trained(module: torch.nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def test_every_row_is_written_from_scratch():
    """What the presets train is what is compared below."""
    found = {(preset, row) for preset in (PEFT, *MFUSER) for row in params(preset).grid.every_method}
    assert found == FROM_SCRATCH.keys()


@pytest.mark.parametrize("preset", [PEFT, *MFUSER])
def test_nothing_of_the_tiny_entries_is_left(preset):
    """Networks and recipes have the identity of those written from scratch, where all else is the declared default."""
    found = params(preset)
    for row in found.grid.every_method:
        method = found.methods[row]
        kind, settings = found.component("segmenters", method.segmenter)
        assert settings.identity() == type(settings)(**FROM_SCRATCH[preset, row]).identity(), row
        assert kind == ("foundation" if preset == PEFT else row.partition("-")[0])
        recipe = Context(found, lock=None).recipe(method, "training", Training)
        expected = RECIPES.get((preset, row), REIN if preset == PEFT else RECIPE)
        assert recipe.identity() == Training(**expected).identity(), row


@pytest.mark.parametrize(
    ("row", "encoder"),
    [
        ("vfm-frozen", 0),
        ("vfm-lora", 786_432),
        ("vfm-dora", 786_432 + 24 * 2 * 1024),
        ("vfm-rein", 2_990_081 + 256 * 257),  # and the content of the queries, counted with the decoder
        ("vfm-soma", 4_718_592 + 16 * 9 * 1024),  # and its biases
        ("vltseg", 303_689_664 + (32**2 - 21**2) * 1024),  # positions of crops of 512 pixels, not of 336
    ],
)
def test_tuned_parameters_of_the_preset(row, encoder):
    """The published numbers, of what the preset resolves to; all read 1,024 channels, and 100 queries ask."""
    made = network(params(PEFT), row)
    assert trained(made.encoder) == encoder
    assert made.taps == ((9, 14, 19, 23) if row == "vltseg" else (7, 11, 15, 23)) and made.neck.width == 1024
    assert row == "vfm-rein" or made.decoder.queries.shape == (100, 256)
    assert trained(made.neck) == (12_588_032 if row == "vltseg" else 0)


def test_trained_parameters_of_mfuser(monkeypatch):
    """115,479,149 with EVA-02; CLIP has 51,430,400 in linear layers and three learnt tokens fewer; tqdm as counted."""
    found = params(MFUSER[0])
    expected = {"mfuser": 115_479_149, "mfuser-clip": 115_479_149 + 51_430_400 - 3 * 768, "tqdm": 343_344_020}
    assert {row: trained(network(found, row)) for row in expected} == expected
    clips = open_clip.get_tokenizer("ViT-B-16")  # as SigLIP's own is on the hub alone
    monkeypatch.setattr(text, "tokenizer", lambda model: clips)
    siglip = network(found, "mfuser-siglip")
    assert trained(siglip.fusers) == 24 * 1_667_585 and siglip.names.contexts.shape == (5, 1024)
    assert siglip.patch == 16 and siglip.vlm.embedding == 1024


@pytest.mark.parametrize("preset", [PEFT, *MFUSER])
def test_libraries_publish_the_weights(preset):
    """timm and open_clip know the names and tags; of open_clip's weights, those with QuickGELU are of such a model."""
    found = params(preset)
    for row in found.grid.every_method:
        _, settings = found.component("segmenters", found.methods[row].segmenter)
        encoder = settings if preset == PEFT else getattr(settings, "vfm", None)
        if encoder is not None:
            assert encoder.weights == "timm" and timm.get_pretrained_cfg(encoder.encoder).hf_hub_id, row
        if preset != PEFT:
            said = open_clip.get_pretrained_cfg(settings.vlm.model, settings.vlm.tag)
            config = open_clip.get_model_config(settings.vlm.model)
            assert said["hf_hub"] and said.get("quick_gelu", False) == config.get("quick_gelu", False), row


@pytest.mark.parametrize("row", ["vfm-rein", "vltseg"])
def test_weights_of_timm_fit(row):
    """Names and, with patches and positions resampled, shapes of what timm publishes are those of the encoder."""
    found = params(PEFT)
    ours = network(found, row).encoder.encoder
    with torch.device("meta"):
        theirs = timm.create_model(found.component("segmenters", row)[1].encoder, num_classes=0)
    fitted = encoder_state(ours, theirs.state_dict(), origin="timm")
    assert {k: v.shape for k, v in fitted.items()} == {k: v.shape for k, v in ours.state_dict().items()}


@pytest.mark.parametrize(("preset", "runs", "cells"), [(TINY[0], 22, 22), (TINY[1], 22 + 5 * 2, 22 + 5 * 2)])
def test_tiny_rows_can_be_built(preset, runs, cells, monkeypatch):
    """Every row takes the suite's class names, and none sees a target; 22 rows; in one preset five have three seeds."""
    monkeypatch.chdir(ROOT)
    context = Context.of(params(preset))
    found = expand(context)
    assert (len(found.runs), len(found.cells), found.excluded) == (runs, cells, ())
    assert {context.params.methods[name].setting for name in context.params.grid.every_method} == {"source"}
    for row in context.params.grid.methods:
        assert network(context.params, row, context.lock.classes).classes == tuple(context.lock.classes)
