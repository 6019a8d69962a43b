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
    return _looked_up(path, (read_image(path) >= HALF).view(np.uint8) * np.uint8(255), ids)


def codes(pixels: np.ndarray) -> np.ndarray:
    """Colours (..., 3) uint8 as one number each, (...) int32: red + 256 green + 65536 blue."""
    numbers = pixels[..., 2].astype(np.int32)
    for channel in (1, 0):  # in place: a tile has 36 million pixels
        numbers <<= 8
        numbers |= pixels[..., channel]
    return numbers


def _looked_up(path: Path, pixels: np.ndarray, ids: Mapping[Colour, int]) -> np.ndarray:
    label = _table(tuple(ids.items()))[codes(pixels)]
    if (unknown := label == UNKNOWN).any():
        colour = tuple(pixels[unknown][0].tolist())
        raise BadInput(f"{path}: colour {colour} at {int(unknown.sum())} pixels is no class; fetch the label again")
    return label


@lru_cache(maxsize=4)
def _table(ids: tuple[tuple[Colour, int], ...]) -> np.ndarray:
    table = np.full(COLOURS, UNKNOWN, np.uint8)
    colours, raw = zip(*ids, strict=True)
    table[codes(np.array(colours, np.uint8))] = raw
    return table
