"""A small CHASE_DB1: all in one folder, two annotators, masks of 1 bit or of 8."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, photograph, save
from miniatures.vessels import mask

CHILDREN = {"train": ("10", "01"), "val": ("11", "14")}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Both eyes of `count` children a split, of two at most."""
    rng = np.random.default_rng(seed)
    written: Written = {("full", None): {}}
    for split, children in CHILDREN.items():
        pairs = written[split, None] = {}
        for name in (f"Image_{child}{eye}" for child in children[:count] for eye in "LR"):
            image = save(root / f"{name}.jpg", photograph(rng, size))
            values, label = mask(rng, size, pure=name.endswith("L"))
            save(root / f"{name}_1stHO.png", values, mode="1" if name.endswith("L") else None)
            save(root / f"{name}_2ndHO.png", 255 - values)
            pairs[name] = image, label
        written["full", None] |= pairs
    litter(root / ".DS_Store", root / "._Image_01L.jpg")
    return written
