"""Masks of masked feature modeling over maps of any size, and errors over hidden cells."""

import math

import torch

from xdseg.adaptations.mfm.masks import draw_mask, merged, spread, token_grid
from xdseg.adaptations.mfm.targets import hidden_error, map_error, patches
from xdseg.training.streams import generator


def test_masks_hide_their_share():
    """0.4 of many tokens within four standard errors, independently of neighbours and of the batch's other images."""
    keep = draw_mask(40, (16, 16), ratio=0.4, draws=generator(0, "m", 0)).float()
    assert abs(keep.mean() - 0.6) < 4 * math.sqrt(0.24 / keep.numel())
    for one, two in ((keep[..., 1:], keep[..., :-1]), (keep[:, 1:], keep[:, :-1]), (keep[1:], keep[:-1])):
        assert abs(((one - 0.6) * (two - 0.6)).mean()) < 4 * 0.24 / math.sqrt(one.numel())
    assert len(keep.sum((1, 2)).unique()) > 5, "a share in expectation, not an exact number"


def test_masks_come_from_their_stream_alone():
    """Equal streams give equal masks whatever else was drawn; other names and steps give others."""
    first = draw_mask(2, (8, 8), ratio=0.4, draws=generator(0, "m", 0))
    torch.rand(3)
    assert torch.equal(first, draw_mask(2, (8, 8), ratio=0.4, draws=generator(0, "m", 0)))
    for other in (generator(0, "n", 0), generator(0, "m", 1), generator(1, "m", 0)):
        assert not torch.equal(first, draw_mask(2, (8, 8), ratio=0.4, draws=other))


def test_extreme_ratios():
    """0 hides nothing, 1 hides everything."""
    assert draw_mask(4, (8, 8), ratio=0, draws=generator(0, "m", 0)).all()
    assert not draw_mask(4, (8, 8), ratio=1, draws=generator(0, "m", 0)).any()


def test_one_mask_for_all_maps_by_hand():
    """The hidden token of a 2 x 2 grid is the same quarter of a 4 x 4 and a 2 x 2 map; other cells keep their bits."""
    keep = torch.tensor([[[True, False], [True, True]]])
    maps = {"fine": torch.full((1, 1, 4, 4), 0.1), "deep": torch.full((1, 1, 2, 2), 0.3)}
    found = merged(maps, {name: torch.full_like(value, 7) for name, value in maps.items()}, keep)
    kept, row = torch.tensor(0.1).item(), torch.tensor(0.3).item()
    assert found["fine"][0, 0].tolist() == [[kept, kept, 7, 7]] * 2 + [[kept] * 4] * 2
    assert found["deep"][0, 0].tolist() == [[row, 7], [row, row]]


def test_masks_spread_by_cell_centres():
    """Two tokens over five cells: the middle cell's centre lies on the border and goes to the second."""
    assert spread(torch.tensor([[[True, False]]]), (1, 5)).tolist() == [[[True, True, False, False, False]]]
    assert token_grid(torch.empty(1, 1, 12, 3), 8) == (2, 1)


def test_nothing_hidden_keeps_every_bit():
    """With all tokens kept the merged maps are the maps, negative zeros and all."""
    maps = {"deep": torch.tensor([0.1, -0.0, 1e-30, -5.0]).view(1, 1, 2, 2)}
    found = merged(maps, {"deep": torch.full((1, 1, 2, 2), torch.inf)}, torch.ones(1, 1, 1, dtype=torch.bool))
    assert found["deep"].view(torch.int32).tolist() == maps["deep"].view(torch.int32).tolist()


def test_error_of_hidden_cells_by_hand():
    """Errors of 1 and 3 in the two hidden cells: (1 + 9) / 2; kept cells do not count, none hidden gives 0."""
    made, keep = torch.tensor([1.0, 3.0, 50.0, 60.0]).view(1, 1, 2, 2), torch.tensor([[[False], [True]]])
    assert hidden_error(made, torch.zeros(1, 1, 2, 2), keep) == 5
    assert hidden_error(made, torch.zeros(1, 1, 2, 2), torch.ones_like(keep)) == 0
    other = made.repeat(1, 3, 1, 1)
    assert map_error({"a": made, "b": 2 * other}, {"a": 0 * made, "b": 0 * other}, keep) == (5 + 20) / 2


def test_patches_by_hand():
    """A token's 16 x 16 pixels are pooled 2 by 2, its channels run over colours, then rows, then columns."""
    image = torch.arange(3 * 16 * 32.0).view(1, 3, 16, 32)
    found = patches(image, (1, 2))
    assert found.shape == (1, 3 * 64, 1, 2)
    for colour, row, column, token in ((0, 0, 0, 0), (2, 3, 5, 1), (1, 7, 7, 0)):
        block = image[0, colour, 2 * row : 2 * row + 2, 16 * token + 2 * column : 16 * token + 2 * column + 2]
        assert found[0, 64 * colour + 8 * row + column, 0, token] == block.mean()
