"""Masks of vessels as they are found: mostly 0 and 255, with some values between."""

import numpy as np
from miniatures.painting import mixed

DARK, BRIGHT = (0, 0, 0, 90, 127), (255, 255, 255, 128, 200)


def mask(rng: np.random.Generator, size: tuple[int, int], *, pure: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Grey values and the ids that they stand for, both (H, W) uint8; `pure` leaves 0 and 255 only."""
    label = mixed(rng, size, (0, 0, 0, 1))
    values = np.where(label == 1, rng.choice(BRIGHT, size), rng.choice(DARK, size)).astype(np.uint8)
    return (label * np.uint8(255) if pure else values), label
