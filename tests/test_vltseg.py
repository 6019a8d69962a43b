"""VLTSeg by composition: a vision-language model's image tower in Mask2Former, tuned in full, with its recipe."""

import open_clip
import pytest
import timm
import torch
from open_clip import CustomTextCLIP
from safetensors.torch import save_file
from test_contract import build, images

from xdseg.backbones import vit as tiny  # noqa: F401  (tells timm its names)
from xdseg.segmenters import vit
from xdseg.segmenters.foundation_segmenter import Foundation
from xdseg.segmenters.ladder.encoder_weights import fill_encoder
from xdseg.settings.foundation import Foundation as Settings
from xdseg.settings.training import Training

ENCODER = "xdseg_clip_vit_tiny_patch8"
TINY_CLIP = {  # whose image tower that encoder is
    "embed_dim": 24,
    "vision_cfg": {"image_size": 128, "patch_size": 8, "width": 192, "head_width": 64, "layers": 8},
    "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 2, "vocab_size": 6},
}


@pytest.fixture
def file(tmp_path):
    """A file of a small CLIP, in the names of the classes that open_clip builds, and the model."""

    def saved(model):
        path = tmp_path / f"{type(model).__name__}.safetensors"
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
        return path

    return saved


def test_open_clips_file_fills_timms_encoder(file):
    """Tokens before and behind the blocks are those of open_clip's tower, which it projects to its embedding."""
    torch.manual_seed(0)
    theirs = CustomTextCLIP(**TINY_CLIP).eval()
    made = build("foundation", encoder=ENCODER, weights=str(file(theirs)), statistics="imagenet").eval()
    plain, given = made.encoder.encoder, images(128, 128)
    tokens = vit.embed(plain, given)
    for block in plain.blocks:
        tokens = vit.run(block, tokens)
    found = plain.norm(tokens.x)[:, 0] @ theirs.visual.proj
    torch.testing.assert_close(found, theirs.visual(given), rtol=1e-4, atol=1e-5)


def test_file_of_a_tower_of_timm(file):
    """EVA-02-CLIP's files hold the tower under visual.trunk, with its classifier; both stay out of the way."""
    torch.manual_seed(0)
    name = "eva02_tiny_patch14_224"
    vision = {"image_size": 224, "timm_model_name": name, "timm_pool": "token", "timm_proj": None}
    theirs = CustomTextCLIP(**TINY_CLIP | {"vision_cfg": vision}).eval()
    ours = timm.create_model(name, num_classes=0, global_pool="")
    fill_encoder(ours, Settings(encoder=name, weights=str(file(theirs))), segmenter="foundation")
    state = theirs.visual.trunk.state_dict()
    assert "head.weight" in state and "head.weight" not in ours.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items() if key != "rope.bands")


def test_images_have_clips_statistics():
    """The small encoder says so, as timm's of EVA-02-CLIP does."""
    published = timm.get_pretrained_cfg("eva02_large_patch14_clip_336")
    assert timm.create_model(ENCODER).pretrained_cfg["mean"] == published.mean == open_clip.OPENAI_DATASET_MEAN
    assert not build("foundation", encoder=ENCODER).statistics.same
    with pytest.raises(ValueError, match="name a file of a small CLIP"):
        timm.create_model(ENCODER, pretrained=True)


def test_recipe():
    """Published: 1e-4 for the decoders and a tenth of it for the encoder, decay 0.05, gradients clipped at 0.01."""
    recipe = Training(steps=5000, batch=16, lr=1e-4, weight_decay=0.05, clip_grad_norm=0.01)
    network = build("foundation", encoder=ENCODER, tuning={"kind": "full"})
    rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in network.parameter_groups(recipe)}
    assert rates == {
        "encoder.decay": (pytest.approx(1e-5), 0.05),
        "encoder.plain": (pytest.approx(1e-5), 0.0),
        "head.decay": (1e-4, 0.05),
        "head.plain": (1e-4, 0.0),
    }


def test_size():
    """EVA-02-L's image tower without its last norm: 303,689,664 are trained (no number of the paper's was read)."""
    with torch.device("meta"):
        settings = Settings(encoder="eva02_large_patch14_clip_336", tuning={"kind": "full"})
        network = Foundation(settings, [str(number) for number in range(19)])
    assert sum(p.numel() for p in network.encoder.parameters() if p.requires_grad) == 303_689_664
