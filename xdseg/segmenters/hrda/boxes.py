"""Rectangles of an image that details are seen in: one at random in training, windows over all of it otherwise."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from xdseg.evaluation.inference import window_offsets
from xdseg.segmenters.contract import Size

Box = tuple[int, int, int, int]  # top, left, height, width


def random_box(size: Size, side: int, *, unit: int, stream: torch.Generator) -> Box:
    """A square of `side` within an image of `size`, or what of it fits; the corner is a multiple of `unit`.

    Each such place is equally likely. The released code never draws the last one of a side.
    """
    height, width = (min(side, length) for length in size)
    top, left = (
        unit * int(torch.randint((length - taken) // unit + 1, (), generator=stream))
        for length, taken in zip(size, (height, width), strict=True)
    )
    return top, left, height, width


def windows(size: Size, side: int, *, stride: int) -> list[Box]:
    """Squares every `stride` pixels, row by row, the last ones flush with the border; a short side cuts them."""
    height, width = (min(side, length) for length in size)
    tops, lefts = (window_offsets(length, window=side, stride=stride) for length in size)
    return [(top, left, height, width) for top, left in product(tops, lefts)]


def cut(pixels: Tensor, box: Box) -> Tensor:
    """The box of (..., H, W)."""
    top, left, height, width = box
    return pixels[..., top : top + height, left : left + width]


def in_cells(box: Box, image: Size, grid: Size) -> Box:
    """A box of an image in cells of a map of it. Raises ValueError for a box that ends within a cell."""
    edges = [divmod(edge * grid[axis % 2], image[axis % 2]) for axis, edge in enumerate(box)]
    if any(rest for _, rest in edges):
        raise ValueError(f"box {box} of an image of {image} pixels ends within a cell of a map of {grid}")
    return tuple(cells for cells, _ in edges)


def hull(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    top, left = (min(box[axis] for box in boxes) for axis in (0, 1))
    bottom, right = (max(box[axis] + box[axis + 2] for box in boxes) for axis in (0, 1))
    return top, left, bottom - top, right - left
