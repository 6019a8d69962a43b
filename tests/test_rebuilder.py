"""The rebuilder of masked feature modeling and its masks: sizes, positions, and what the outputs depend on."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xdseg.adaptations.mfm.projector import doublings_to
from xdseg.adaptations.mfm.rebuilder import Rebuilder, positions
from xdseg.segmenters.contract import MapSpec
from xdseg.settings.mfm import Mfm as Settings

MIT = [MapSpec(*spec) for spec in (("a", 64, 4), ("b", 128, 8), ("c", 320, 16), ("d", 512, 32))]
SMALL = [MapSpec("fine", 6, 8), MapSpec("deep", 24, 16)]


def build(maps=SMALL, *, token=32, seed=0, **settings):
    """A rebuilder with drawn weights."""
    torch.manual_seed(seed)
    return Rebuilder(maps, Settings(**settings), token=token)


def drawn(specs, height, width, *, seed=0, batch=2):
    """Random maps of an image of that size."""
    draws = torch.Generator().manual_seed(seed)
    sizes = {spec.name: (batch, spec.channels, height // spec.stride, width // spec.stride) for spec in specs}
    return {name: torch.randn(size, generator=draws) for name, size in sizes.items()}


@pytest.mark.parametrize(
    ("maps", "millions"), [(MIT, 14.5), ([MapSpec("deep", 2048, 8)], 10.2)], ids=["mit-b5", "deeplabv2-r101"]
)
def test_published_numbers_of_parameters(maps, millions):
    """14.5 million for the four maps of a MiT-B5, 10.2 million for the one of a ResNet-101 at stride 8."""
    with torch.device("meta"):
        rebuilder = Rebuilder(maps, Settings(), token=32)
    assert rebuilder.width == 512 and rebuilder.blocks[0].attn.num_heads == 16
    assert sum(parameter.numel() for parameter in rebuilder.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_sizes_at_the_published_crop():
    """A crop of 512 has 16 x 16 tokens; each map is rebuilt at its own size without resizing."""
    with torch.device("meta"):
        rebuilder = Rebuilder(MIT, Settings(), token=32)
        maps = {spec.name: torch.empty(1, spec.channels, 512 // spec.stride, 512 // spec.stride) for spec in MIT}
        keep = torch.ones(1, 16, 16, dtype=torch.bool)
        states = rebuilder.states(maps, keep)
        sizes = [tuple(project(states).shape[1:]) for project in rebuilder.projectors]
    assert rebuilder.grid(maps) == (16, 16)
    assert sizes == [(64, 128, 128), (128, 64, 64), (320, 32, 32), (512, 16, 16)]


@pytest.mark.parametrize(
    ("ratio", "doublings"), [(1, 0), (2, 1), (4, 2), (8, 3), (16, 3), (32 / 14, 1), (32 / 12, 1), (3, 2), (0.5, 0)]
)
def test_the_nearest_power_of_two(ratio, doublings):
    """1, 2, 4 or 8, whichever factor is next to the ratio of strides."""
    assert doublings_to(ratio) == doublings


@pytest.mark.parametrize(
    ("maps", "token", "size", "grid"),
    [
        (SMALL, 32, (96, 160), (3, 5)),  # rectangular
        (SMALL, 32, (32, 32), (1, 1)),
        ([MapSpec("patches", 12, 14)], 32, (28 * 14, 14 * 14), (12, 6)),  # no power of two: 392 / 32, 196 / 32
        ([MapSpec("fine", 4, 2), MapSpec("deep", 8, 4)], 32, (64, 64), (2, 2)),  # 16 times finer than tokens
        ([MapSpec("fine", 4, 8), MapSpec("deep", 8, 64)], 64, (128, 64), (2, 1)),  # coarser than 32 pixels
        (SMALL, 32, (48, 16), (2, 1)),  # tokens that do not fit: the next whole number
    ],
)
def test_any_size_is_rebuilt(maps, token, size, grid):
    """Tokens follow the image's size, and outputs have the maps' shapes, whatever the ratio of strides."""
    rebuilder, features = build(maps, token=token), drawn(maps, *size)
    assert rebuilder.grid(features) == grid
    made = rebuilder(features, torch.ones(2, *grid, dtype=torch.bool))
    assert {name: value.shape for name, value in made.items()} == {n: v.shape for n, v in features.items()}


def test_positions_by_hand():
    """Width 8: sines of (row, row/100, column, column/100), then their cosines; rows first in the sequence."""
    found = positions((2, 3), 8)
    angles = torch.tensor([1.0, 0.01, 2.0, 0.02])  # of row 1, column 2: the last of six
    torch.testing.assert_close(found[5], torch.cat([angles.sin(), angles.cos()]))
    assert found[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1] and found.shape == (6, 8)
    assert found[3, 0].item() == pytest.approx(math.sin(1)) and found[3, 2] == 0  # the fourth: row 1, column 0


def test_states_equal_torchs_own_transformer():
    """Embedding, mask token, positions, pre-norm blocks: as nn.TransformerEncoderLayer computes with these weights."""
    rebuilder, maps = build(), drawn(SMALL, 64, 96)
    keep = torch.tensor([[[1, 0, 1], [0, 1, 1]], [[1, 1, 1], [0, 0, 1]]]).bool()
    pooled = F.avg_pool2d(maps["deep"], 2)  # bilinear at half the size, between the four cells
    tokens = F.linear(pooled.flatten(2).mT, rebuilder.embedding.weight, rebuilder.embedding.bias)
    tokens[~keep.flatten(1)] = rebuilder.mask_token
    tokens = tokens + positions((2, 3), rebuilder.width)
    for block in rebuilder.blocks:
        tokens = theirs(block, rebuilder.width)(tokens)
    wanted = F.layer_norm(tokens, (rebuilder.width,)).mT.unflatten(2, (2, 3))
    torch.testing.assert_close(rebuilder.states(maps, keep), wanted, rtol=1e-4, atol=1e-5)


def theirs(block, width):
    """Torch's layer with the weights of one of our blocks; 32 channels per head, MLP of four times the width."""
    layer = nn.TransformerEncoderLayer(width, width // 32, 4 * width, 0, F.gelu, batch_first=True, norm_first=True)
    pairs = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.", "linear1.": "mlp.fc1."}
    pairs |= {"linear2.": "mlp.fc2.", "norm1.": "norm1.", "norm2.": "norm2."}
    state = block.state_dict()
    layer.load_state_dict({a + kind: state[b + kind] for a, b in pairs.items() for kind in ("weight", "bias")})
    return layer


def test_initial_weights():
    """Linear layers are Xavier-uniform with biases of 0, the mask token has deviation 0.02."""
    rebuilder = build([MapSpec("deep", 256, 32)])
    linears = [module for module in rebuilder.modules() if isinstance(module, nn.Linear)]
    assert len(linears) == 1 + 2 * 4
    for layer in linears:
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.99 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
    assert rebuilder.mask_token.std().item() == pytest.approx(0.02, rel=0.15)


def test_everything_hidden_depends_on_nothing():
    """With every token hidden, other features give the same outputs, equal for all images of the batch."""
    rebuilder, keep = build(), torch.zeros(2, 2, 2, dtype=torch.bool)
    first, second = (rebuilder(drawn(SMALL, 64, 64, seed=seed), keep) for seed in (1, 2))
    for name, value in first.items():
        assert torch.equal(value, second[name])
        torch.testing.assert_close(value[0], value[1])
        assert value.std() > 0.1


def test_only_the_last_map_is_read():
    """Another fine map changes nothing that is made; another last map changes all of it."""
    rebuilder, keep = build(), torch.ones(2, 2, 2, dtype=torch.bool)
    maps, others = drawn(SMALL, 64, 64, seed=1), drawn(SMALL, 64, 64, seed=2)
    made = rebuilder(maps, keep)
    fine, deep = rebuilder({**maps, "fine": others["fine"]}, keep), rebuilder({**maps, "deep": others["deep"]}, keep)
    for name, value in made.items():
        assert torch.equal(value, fine[name]) and not torch.equal(value, deep[name])


def test_hidden_cells_are_not_read():
    """What stands under a hidden token reaches no output."""
    rebuilder, maps = build(), drawn(SMALL, 64, 64)
    keep = torch.tensor([[1, 0], [1, 1]]).bool().expand(2, 2, 2)
    other = {**maps, "deep": maps["deep"].clone()}
    other["deep"][:, :, :2, 2:] += 1
    assert torch.equal(rebuilder(maps, keep)["fine"], rebuilder(other, keep)["fine"])


def test_output_norm_is_a_switch():
    """With it, channels of each cell have mean 0 and deviation 1 at first; without it they do not."""
    keep = torch.ones(2, 2, 2, dtype=torch.bool)
    normed, plain = (build(out_norm=norm)(drawn(SMALL, 64, 64), keep)["deep"] for norm in (True, False))
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 4, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 4, 4), rtol=0, atol=1e-2)
    assert plain.mean(1).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("channels", "width"), [(512, 512), (2048, 512), (256, 512), (192, 384), (24, 32), (16, 32), (4, 32)]
)
def test_width_follows_the_last_map(channels, width):
    """Twice its channels in whole heads of 32, between 32 and 512; a setting overrules it."""
    assert Settings().token_width(channels) == width
    assert Settings(width=128).token_width(channels) == 128


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 100}, "width 100 is no multiple of head_dim 32"),
        ({"target": "pixel", "rebuild": False}, "without rebuild there is nothing to hold against target pixel"),
        ({"target": "pixel", "freeze": "decoder"}, "target pixel has no decoder"),
        ({"target": "student-feature", "loss_on": "masked"}, "leave freeze decoder and loss_on masked"),
    ],
)
def test_settings_that_contradict_are_refused(values, message):
    """One line says which two do not go together."""
    with pytest.raises(ValueError, match=message):
        Settings(**values)
