"""Noise on surfaces, and stripes that are smooth at the size of a pixel."""

import numpy as np
from PIL import Image

from xdseg.data.streetworld.dice import Dice

TILE = 256  # texels per side of a noise tile, a power of two so that indices wrap by a mask
COARSE = 32  # independent values per side


def noise_tile(dice: Dice) -> np.ndarray:
    """Smooth noise (TILE, TILE), float32 in about [-1, 1], that continues at its edges."""
    coarse = np.pad(dice.texture(COARSE, COARSE), 2, mode="wrap")
    step = TILE // COARSE
    size = (coarse.shape[1] * step, coarse.shape[0] * step)
    fine = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return fine[2 * step : -2 * step, 2 * step : -2 * step].astype(np.float32) / 127.5 - 1.0


def sample(tile: np.ndarray, x: np.ndarray, z: np.ndarray, *, cells: float) -> np.ndarray:
    """Noise at places given in metres, with `cells` independent values per metre."""
    scale = cells * (TILE // COARSE)
    return tile[(z * scale).astype(np.int32) & (TILE - 1), (x * scale).astype(np.int32) & (TILE - 1)]


def stripe(value: np.ndarray, *, centre: float, width: float, pixel: np.ndarray | float) -> np.ndarray:
    """Share of a pixel covered by a stripe; `pixel` is the pixel's size in the units of `value`."""
    return np.clip((0.5 * width - np.abs(value - centre)) / pixel + 0.5, 0.0, 1.0)


def stripes(value: np.ndarray, *, period: float, width: float, pixel: np.ndarray | float) -> np.ndarray:
    """As `stripe`, repeated: stripes in the middle of each period."""
    phase = value / period
    return stripe((phase - np.floor(phase)) * period, centre=0.5 * period, width=width, pixel=pixel)
