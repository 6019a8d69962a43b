"""GTA5 in small, as its twenty archives extract."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, ids, litter, picture, save, save_palette, text

VALID = [*range(35)]


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write the split `full`; returns by split and name the image's pixels and the raw ids."""
    rng = np.random.default_rng(seed)
    written: Written = {("full", None): {}}
    for i in range(count):
        name = f"{i + 1:05d}"
        pixels, label = picture(rng, size), ids(rng, size, VALID)
        save(root / "images" / f"{name}.png", pixels)
        save_palette(root / "labels" / f"{name}.png", label)
        written["full", None][name] = pixels, label
        litter(root / "images", f"{name}.png")
    text(root / "read_mapping" / "split.mat")
    return written
