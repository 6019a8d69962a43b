"""DAFormer, SegFormer and their encoder against formulas, published sizes and another implementation."""

import re

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from test_contract import build, images
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerModel

from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.daformer import DAFormerHead
from xdseg.segmenters.mit import INPUT, attention
from xdseg.segmenters.segformer import SegFormerHead, head_channels
from xdseg.settings.mit import DAFormer as DAFormerSettings
from xdseg.settings.mit import SegFormer as SegFormerSettings

B5_WIDTHS = (64, 128, 320, 512)
SITES = [f"block{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]  # of MiT-B0
on_mit = pytest.mark.parametrize("name", ["daformer", "segformer"])


def count(module):
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def mit_count(widths, depths, reductions=(8, 4, 2, 1), expansion=4):
    """Parameters of a Mix Transformer, from the layers that SegFormer's paper describes (section 3.1 and Table 6)."""
    total = 0
    for before, c, depth, r, patch in zip((3, *widths), widths, depths, reductions, (7, 3, 3, 3), strict=False):
        norm = 2 * c
        reduced = r * r * c * c + c + norm if r > 1 else 0
        attention = 4 * (c * c + c) + reduced
        hidden = expansion * c
        mix_ffn = (c * hidden + hidden) + (9 * hidden + hidden) + (hidden * c + c)
        total += patch * patch * before * c + c + norm  # overlapping patches
        total += depth * (2 * norm + attention + mix_ffn) + norm
    return total


@pytest.mark.parametrize(
    ("encoder", "widths", "depths", "parameters"),
    [("mit_b0", (32, 64, 160, 256), (2, 2, 2, 2), 3_319_392), ("mit_b5", B5_WIDTHS, (3, 6, 40, 3), 81_443_008)],
)
def test_encoder_has_the_papers_parameters(encoder, widths, depths, parameters):
    """As many as the paper's layers have, and as transformers' encoder of those widths and depths."""
    config = SegformerConfig(hidden_sizes=list(widths), depths=list(depths))
    with torch.device("meta"):
        theirs = SegformerModel(config)
    network = SEGMENTERS["segformer"].load()(SegFormerSettings(encoder=encoder), tiny_jobs.CLASSES)
    assert count(network.encoder) == mit_count(widths, depths) == count(theirs) == parameters


def test_heads_have_the_papers_parameters():
    """DAFormer's head has 3.7 million at 256 channels and 19 classes, SegFormer's 3.2 on B5 (DAFormer, Table 7).

    By hand, with 1024 = 64 + 128 + 320 + 512 and also 4 * 256: linear layers 1024 * 256 + 4 * 256; a 1x1 branch
    1024 * 256 + 512; three separable ones 9 * 1024 + 2048 + 1024 * 256 + 512; fusion 9 * 1024 * 256 + 512; classifier.
    """
    with torch.device("meta"):
        daformer = DAFormerHead(DAFormerSettings(), B5_WIDTHS, 19)
        segformer = SegFormerHead(B5_WIDTHS, 768, 19, dropout=0.1)
    assert count(daformer) == 263_168 + 262_656 + 3 * 273_920 + 2_359_808 + 4_883 == 3_712_275
    assert count(segformer) == (1024 * 768 + 4 * 768) + (4 * 768 * 768 + 2 * 768) + (768 * 19 + 19) == 3_164_947


@pytest.mark.parametrize(
    ("encoder", "asked", "channels"),
    [("mit_b0", None, 256), ("mit_b1", None, 256), ("mit_b2", None, 768), ("mit_b5", None, 768), ("mit_b5", 8, 8)],
)
def test_segformer_heads_widths(encoder, asked, channels):
    """256 channels for B0 and B1, 768 above, another number on request."""
    assert head_channels(SegFormerSettings(encoder=encoder, channels=asked)) == channels


def test_daformer_head_by_direct_formula():
    """The head's logits are those of the paper's formula written out with plain functions."""
    head = DAFormerHead(DAFormerSettings(channels=8), (4, 6, 10, 12), 3).eval()
    torch.manual_seed(0)
    for name, value in head.state_dict().items():  # statistics and scales that an omission would show
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "running_var" in name else value.normal_()
    maps = [torch.randn(2, c, 16 // s, 24 // s) for c, s in zip((4, 6, 10, 12), (1, 2, 4, 8), strict=True)]
    with torch.no_grad():
        expected = daformer_formula(head.state_dict(), maps)
        torch.testing.assert_close(head(maps), expected, rtol=1e-4, atol=1e-3 * expected.abs().max().item())


def daformer_formula(w, maps):
    """E_i = linear; X = concat(resize(E_i)); Y = concat(1x1(X), separable 3x3 of dilation 6, 12, 18); 3x3; 1x1."""

    def normed(x, name):
        mean, var, scale, shift = (
            w[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)

    embedded = []
    for i, x in enumerate(maps):
        y = torch.einsum("bchw,kc->bkhw", x, w[f"embeddings.{i}.weight"]) + w[f"embeddings.{i}.bias"].view(1, -1, 1, 1)
        embedded.append(F.interpolate(y, size=(16, 24), mode="bilinear", align_corners=False))
    x = torch.cat(embedded, 1)
    branches = [normed(F.conv2d(x, w["branches.0.0.weight"]), "branches.0.1")]
    for i, dilation in ((1, 6), (2, 12), (3, 18)):
        depthwise = F.conv2d(x, w[f"branches.{i}.0.0.weight"], padding=dilation, dilation=dilation, groups=x.shape[1])
        y = normed(depthwise, f"branches.{i}.0.1")
        branches.append(normed(F.conv2d(y, w[f"branches.{i}.1.0.weight"]), f"branches.{i}.1.1"))
    fused = normed(F.conv2d(torch.cat(branches, 1), w["fuse.0.weight"], padding=1), "fuse.1")
    return F.conv2d(fused, w["classifier.weight"], w["classifier.bias"])


# Names in transformers' SegFormer: pattern of ours, theirs; stages count from 0 there.
THEIRS = [
    (r"encoder\.patch_embed(\d)\.proj", r"segformer.stages.{}.patch_embeddings.proj"),
    (r"encoder\.patch_embed(\d)\.norm", r"segformer.stages.{}.patch_embeddings.layer_norm"),
    (r"encoder\.norm(\d)", r"segformer.stages.{}.layer_norm"),
    (r"encoder\.block(\d)\.", r"segformer.stages.{}.blocks."),
    (r"attn\.q", "attention.q_proj"),
    (r"attn\.proj", "attention.o_proj"),
    (r"attn\.sr", "attention.sequence_reduction.sequence_reduction"),
    (r"attn\.norm", "attention.sequence_reduction.layer_norm"),
    (r"norm1", "layernorm_before"),
    (r"norm2", "layernorm_after"),
    (r"head\.embeddings\.(\d)", r"decode_head.linear_projections.\1.proj"),
    (r"head\.fuse\.0", "decode_head.linear_fuse"),
    (r"head\.fuse\.1", "decode_head.batch_norm"),
    (r"head\.classifier", "decode_head.classifier"),
]


def their_names(state):
    """A state dict of ours under transformers' names; keys and values are two layers there."""
    renamed = {}
    for name, value in state.items():
        for pattern, theirs in THEIRS:
            name = re.sub(
                pattern,
                lambda m, t=theirs: t.format(*(int(g) - 1 for g in m.groups())) if "{}" in t else m.expand(t),
                name,
            )
        if "attn.kv" in name:
            for half, part in zip(("k", "v"), value.chunk(2), strict=True):
                renamed[name.replace("attn.kv", f"attention.{half}_proj")] = part
        else:
            renamed[name] = value
    return renamed


def shaken(network):
    """The network with every parameter moved, so that no scale of 1 or bias of 0 hides an omission."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def test_segformer_equals_transformers():
    """With the same weights, logits of encoder and head equal SegformerForSemanticSegmentation's within 1e-4.

    Its layer norms are set to the released code's epsilon, 1e-6, which its blocks leave at 1e-5.
    """
    ours = shaken(build("segformer")).eval()
    config = SegformerConfig(decoder_hidden_size=16, num_labels=len(tiny_jobs.CLASSES))
    theirs = SegformerForSemanticSegmentation(config).eval()
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    theirs.load_state_dict(their_names(ours.state_dict()))
    with torch.no_grad():
        logits = ours.decode(ours.encode(images(96, 64))).logits
        torch.testing.assert_close(logits, theirs(images(96, 64)).logits, rtol=1e-4, atol=1e-4)


@on_mit
def test_sites_and_key_grids(name):
    """One site per block with the published heads; keys lie on the last stage's grid, whatever the stage."""
    network, asked = build(name).eval(), []

    def spy(site, features, keys):
        size = tuple(features.context[INPUT].shape[-2:])
        asked.append((site, tuple(features.maps), size, keys))

    network.encode(images(64, 96), steer=spy)
    sites = network.describe().sites
    assert [(site.name, site.heads) for site in sites] == list(zip(SITES, (1, 1, 2, 2, 5, 5, 8, 8), strict=True))
    assert [line[0] for line in asked] == SITES
    assert asked[0] == ("block1.0", (), (16, 24), (2, 3))
    assert asked[5] == ("block3.1", ("stage1", "stage2"), (4, 6), (2, 3))
    assert {line[3] for line in asked} == {(2, 3)}


@on_mit
def test_silent_steer_leaves_the_bytes(name):
    """A steer that says None everywhere gives the maps of no steer, bit for bit, in training as in testing."""
    for network in (build(name).eval(), build(name).train()):
        torch.manual_seed(3)
        plain = network.encode(images(64, 64)).maps
        torch.manual_seed(3)
        steered = network.encode(images(64, 64), steer=lambda *_: None).maps
        assert all(torch.equal(plain[key], steered[key]) for key in plain)


@on_mit
def test_bias_of_zeros_equals_none(name):
    """To 1e-5, and with gradients that reach a bias at each site."""
    network = shaken(build(name)).eval()
    biases = {site: torch.zeros(1, 1, 1, 4, requires_grad=True) for site in SITES}
    steered = network.encode(images(64, 64), steer=lambda site, features, keys: biases[site])
    plain = network.encode(images(64, 64))
    for key, value in plain.maps.items():
        torch.testing.assert_close(steered.maps[key], value, rtol=1e-5, atol=1e-5)
    network.decode(steered).scores((64, 64)).square().sum().backward()
    assert all(bias.grad.abs().sum() > 0 for bias in biases.values())


def test_bias_of_minus_infinity_removes_a_key():
    """A key that is cut off has no influence: its value may be anything. Per head, the others still see it."""
    block = shaken(build("segformer")).eval().encoder.block4[0]  # 8 heads, no spatial reduction: 4 keys of 2 x 2
    x, other = torch.randn(1, 256, 2, 2), torch.randn(1, 256)
    changed = x.clone()
    changed[..., 1, 1] = other
    cut = torch.zeros(1, 1, 1, 4)
    cut[..., 3] = -torch.inf

    def attended(tokens, bias):
        tokens = block.norm1(tokens.flatten(2).transpose(1, 2))
        return attention(block.attn, tokens, (2, 2), bias)[:, :3]  # queries other than the key itself

    with torch.no_grad():
        assert torch.equal(attended(x, cut), attended(changed, cut))
        assert not torch.allclose(attended(x, 0 * torch.ones(4)), attended(changed, 0 * torch.ones(4)), atol=1e-3)
        first = torch.zeros(1, 8, 1, 4)
        first[:, 0, :, 3] = -torch.inf
        assert not torch.equal(attended(x, first), attended(changed, first))


@on_mit
def test_stochastic_depth_rises_to_the_setting(name):
    """Of 8 blocks the first keeps its path always, the last drops it with the rate asked for; 0 drops none."""
    rates = [block.drop_path.drop_prob for block in blocks(build(name, drop_path=0.7))]
    assert rates == pytest.approx([0.1 * number for number in range(8)])
    network = build(name, drop_path=0.0).train()
    maps = network.encode(images(32, 32)).maps
    assert all(torch.equal(value, maps[key]) for key, value in network.encode(images(32, 32)).maps.items())


def blocks(network):
    """All blocks, finest first."""
    return [block for stage in (1, 2, 3, 4) for block in getattr(network.encoder, f"block{stage}")]


@on_mit
def test_encoder_weights_from_a_file(tmp_path, name):
    """The encoder takes a file's weights in half precision, without their classifier; the head is drawn as without."""
    donor = build(name, seed=5)
    weights = {key: value.half() for key, value in donor.encoder.state_dict().items()}
    save_file(weights | {"head.weight": torch.ones(1000, 256)}, tmp_path / "encoder.safetensors")
    network, plain = build(name, weights=str(tmp_path / "encoder.safetensors")), build(name)
    assert all(torch.equal(value, weights[key].float()) for key, value in network.encoder.state_dict().items())
    assert all(torch.equal(value, plain.head.state_dict()[key]) for key, value in network.head.state_dict().items())


def test_part_that_a_file_leaves_out_stays_as_drawn(tmp_path):
    """A file that says it holds no `layer4.` fills the rest; without saying so it does not fit."""
    donor, path = build("deeplabv3plus", seed=5), tmp_path / "part.safetensors"
    weights = {key: value for key, value in donor.encoder.state_dict().items() if not key.startswith("layer4.")}
    save_file(weights, path, metadata={"left_out": "layer4."})
    network, plain = build("deeplabv3plus", weights=str(path)), build("deeplabv3plus")
    for key, value in network.encoder.state_dict().items():
        expected = plain.encoder.state_dict() if key.startswith("layer4.") else weights
        assert torch.equal(value, expected[key]), key
    save_file(weights, path)
    with pytest.raises(BadInput, match=r"part\.safetensors: 30 parameters do not fit, first layer4"):
        build("deeplabv3plus", weights=str(path))
