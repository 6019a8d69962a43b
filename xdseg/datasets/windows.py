"""Large tiles as items of one size: windows side by side, the last of a row and of a column flush with the border."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdseg.datasets.contract import Item
from xdseg.errors import BadInput

SIDE = 512  # pixels; mmsegmentation's converters of Potsdam and Vaihingen cut such windows at this stride

Window = tuple[int, int, int, int]  # top, left, height, width


def cut(pixels: np.ndarray, window: Window | None) -> np.ndarray:
    """The part of an image (H, W, 3) or of a label (H, W) that an item is; all of it without a window."""
    if window is None:
        return pixels
    top, left, height, width = window
    return pixels[top : top + height, left : left + width]


def starts(length: int, side: int = SIDE) -> list[int]:
    """Where windows begin along one edge of a tile, in pixels; a tile shorter than a window has one, at 0."""
    last = max(length - side, 0)
    return [*range(0, last, side), last]


def windows(height: int, width: int, side: int = SIDE) -> list[Window]:
    """Windows that cover a tile, row by row; the last ones overlap their neighbours where `side` does not divide."""
    size = min(height, side), min(width, side)
    return [(top, left, *size) for top in starts(height, side) for left in starts(width, side)]


def windowed(tile: Item) -> Iterator[Item]:
    """A tile's windows as items, named after tile, top and left. Raises BadInput for an image without a header."""
    for window in windows(*size_of(tile.image)):
        yield replace(tile, name=f"{tile.name}_t{window[0]:04d}_l{window[1]:04d}", window=window)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of an image from its header, without decoding it. Raises BadInput."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: not readable as an image ({type(error).__name__}); fetch it again") from None
