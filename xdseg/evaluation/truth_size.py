"""Counting at another size than the truth's own, as some papers do: class ids are resampled before they are compared.

Truth and predictions are resampled alike, so stored predictions are scored at any size without a network. Ids are
picked, never mixed. Without a framework: scoring loads none.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from xdseg.errors import BadInput
from xdseg.evaluation.sizes import Shape
from xdseg.settings.sizes import CentreCrop, TruthSize


def nearest(ids: np.ndarray, size: Shape) -> np.ndarray:
    """(H, W) to `size`, (height, width): of each new pixel's centre, the old pixel that holds it."""
    if ids.shape == tuple(size):
        return ids
    rows, columns = (_sources(old, new) for old, new in zip(ids.shape, size, strict=True))
    return ids[rows[:, None], columns]


def _sources(old: int, new: int) -> np.ndarray:
    """Position in the old side of each pixel of the new one.

    In single precision, as torch's nearest-exact has it, with which training resizes labels: where a centre falls
    on the edge of two pixels, exact arithmetic would now and then pick the other.
    """
    half = np.float32(0.5)
    centres = (np.arange(new, dtype=np.float32) + half) * (np.float32(old) / np.float32(new))
    return np.minimum(centres.astype(np.int64), old - 1)


def resized(shape: Shape, setting: TruthSize) -> Shape:
    """Height and width of a truth of `shape` after resizing, before any crop; sides are rounded down, as published."""
    if setting == "native":
        return shape
    if setting == "half":  # as the Mapillary truth of Rein
        return tuple(max(1, side // 2) for side in shape)
    if isinstance(setting, CentreCrop):
        return setting.height, max(1, shape[1] * setting.height // shape[0])
    return tuple(setting)


def scored_size(shape: Shape, setting: TruthSize) -> Shape:
    """Height and width at which pixels of a truth of `shape` are counted."""
    return tuple(place.stop - place.start for place in _window(resized(shape, setting), setting))


def _window(size: Shape, setting: TruthSize) -> tuple[slice, slice]:
    """What of a resized truth is scored: the central square, as far as there is an image."""
    side = setting.centre_crop if isinstance(setting, CentreCrop) else max(size)
    starts = [max(0, round((length - side) / 2)) for length in size]
    return tuple(slice(start, min(start + side, length)) for start, length in zip(starts, size, strict=True))


def at_scored_size(ids: np.ndarray, shape: Shape, setting: TruthSize) -> np.ndarray:
    """Class ids (H, W) of an image whose truth has `shape`, at the size at which its pixels are counted.

    `ids` may have the truth's size, the resized one or already the one that is counted. Raises BadInput for others.
    """
    counted, whole = scored_size(shape, setting), resized(shape, setting)
    if ids.shape == counted:
        return ids
    if ids.shape in (tuple(shape), whole):
        return nearest(ids, whole)[_window(whole, setting)]
    sizes = " or ".join(f"{height} x {width}" for height, width in dict.fromkeys((tuple(shape), whole, counted)))
    raise BadInput(
        f"{ids.shape[0]} x {ids.shape[1]} pixels, where scoring.truth asks for {sizes}; write it at such a size, "
        "or mend scoring.truth"
    )


@dataclass(frozen=True)
class CropShares:
    """What a centre crop makes of a photograph, here and in the code that it comes from."""

    scored: Fraction  # of the photograph's pixels
    missing: Fraction  # of the square, which the photograph does not reach; not scored here
    published_filled: Fraction  # of the square, which RobustNet's code fills with 0 and scores as road


def crop_shares(shape: Shape, setting: CentreCrop) -> CropShares:
    """Shares of a photograph of `shape` and of the square.

    RobustNet pads a photograph narrower than the square by all that it lacks on both sides, and then crops where the
    photograph without padding would be cut: half as much again is filled as is missing, and photograph is lost.
    """
    side, whole = setting.centre_crop, resized(shape, setting)
    height, width = scored_size(shape, setting)
    filled = [min(Fraction(1), Fraction(3 * (side - length), 2 * side)) for length in (height, width)]
    return CropShares(
        scored=Fraction(height * width, whole[0] * whole[1]),
        missing=1 - Fraction(height * width, side * side),
        published_filled=1 - (1 - filled[0]) * (1 - filled[1]),
    )
