"""Nighttime Driving in small, as its archive extracts."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, text

VALID = [*range(19), 255]


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write the split `test`; returns by split and name the image's pixels and the raw ids."""
    rng = np.random.default_rng(seed)
    written: Written = {("test", None): {}}
    images = root / "leftImg8bit" / "test" / "night"
    labels = root / "gtCoarse_daytime_trainvaltest" / "test" / "night"
    for i in range(count):
        name = f"0_frame_{40 + 37 * i:04d}"
        pixels, label = picture(rng, size), ids(rng, size, VALID)
        save(images / f"{name}_leftImg8bit.png", pixels)
        save(labels / f"{name}_gtCoarse_labelTrainIds.png", label)
        save(labels / f"{name}_gtCoarse_labelIds.png", label % 34)
        save(labels / f"{name}_gtCoarse_color.png", coloured(label))
        text(labels / f"{name}_gtCoarse_polygons.json")
        written["test", None][name] = pixels, label
        litter(images, f"{name}_leftImg8bit.png")
    return written
