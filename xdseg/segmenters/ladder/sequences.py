"""Maps as one sequence of cells, and back; the positions of cells as sines."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from xdseg.segmenters.contract import Size

WAVELENGTHS = 10000  # ratio of the longest to the shortest
TINY = 1e-6  # kept where published; it moves no cell by more than a millionth


def size_of(x: Tensor) -> Size:
    """Height and width of a map."""
    return x.shape[-2], x.shape[-1]


def flat(maps: Sequence[Tensor]) -> Tensor:
    """(B, C, h_i, w_i) to (B, cells, C), map by map and row by row."""
    return torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)


def unflat(cells: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """(B, cells, C) to maps (B, C, h_i, w_i) of these sizes: the reverse of `flat`, without a copy."""
    parts = cells.split([height * width for height, width in sizes], dim=1)
    return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


def sines(size: Size, channels: int, device: torch.device) -> Tensor:
    """Positions of a map's cells (cells, channels), float32: rows in the first half, columns in the second.

    Both sides count as a full turn whatever the map's size, as in DETR's and Mask2Former's code.
    """
    number = torch.arange(channels // 4, device=device) * 2
    rates = WAVELENGTHS ** (-2 * number / channels)
    halves = []
    for side in size:
        angles = torch.arange(1, side + 1, device=device) * (2 * math.pi / (side + TINY))
        angles = angles[:, None] * rates
        halves.append(torch.stack((angles.sin(), angles.cos()), -1).flatten(1))  # (side, channels / 2)
    height, width = size
    rows, columns = halves[0][:, None].expand(-1, width, -1), halves[1].expand(height, -1, -1)
    return torch.cat((rows, columns), -1).flatten(0, 1)
