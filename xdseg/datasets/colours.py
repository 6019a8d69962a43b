"""Labels that are drawn in colours: each colour to its raw id, exactly."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from xdseg.data.pixels import read_image
from xdseg.errors import BadInput

Colour = tuple[int, int, int]  # red, green, blue
COLOURS = 2**24
UNKNOWN = 255  # stands for no id in the table, so no id may be 255
HALF = 128


def coloured_ids(path: Path, ids: Mapping[Colour, int]) -> np.ndarray:
    """Raw ids (H, W) uint8 of a label in colours. Raises BadInput that names a colour without an id."""
    return _looked_up(path, read_image(path), ids)


def saturated_ids(path: Path, ids: Mapping[Colour, int]) -> np.ndarray:
    """The same for a label saved with losses whose true colours are of 0 and 255: each channel goes to the nearer."""
    return _looked_up(path, np.where(read_image(path) < HALF, 0, 255), ids)


def _looked_up(path: Path, pixels: np.ndarray, ids: Mapping[Colour, int]) -> np.ndarray:
    codes = _code(*np.moveaxis(pixels.astype(np.int32), -1, 0))
    label = _table(tuple(ids.items()))[codes]
    if (unknown := label == UNKNOWN).any():
        colour = tuple(pixels[unknown][0].tolist())
        raise BadInput(f"{path}: colour {colour} at {int(unknown.sum())} pixels is no class; fetch the label again")
    return label


@lru_cache(maxsize=4)
def _table(ids: tuple[tuple[Colour, int], ...]) -> np.ndarray:
    table = np.full(COLOURS, UNKNOWN, np.uint8)
    for colour, raw in ids:
        table[_code(*colour)] = raw
    return table


def _code(red: np.ndarray | int, green: np.ndarray | int, blue: np.ndarray | int) -> np.ndarray | int:
    return (red << 16) | (green << 8) | blue
