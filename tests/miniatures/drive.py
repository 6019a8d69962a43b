"""A small DRIVE: images as TIFF, manual labels and field of view as GIF."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, photograph, save
from miniatures.vessels import mask


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a split."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, folder, first in (("train", "training", 21), ("test", "test", 1)):
        pairs = written[split, None] = {}
        for number in range(first, first + count):
            name = f"{number:02d}"
            image = save(root / folder / "images" / f"{name}_{folder}.tif", photograph(rng, size))
            values, label = mask(rng, size)
            save(root / folder / "1st_manual" / f"{name}_manual1.gif", values)
            save(root / folder / "2nd_manual" / f"{name}_manual2.gif", 255 - values)
            save(root / folder / "mask" / f"{name}_{folder}_mask.gif", np.full(size, 255, np.uint8))
            pairs[name] = image, label
        litter(root / folder / "images" / ".DS_Store", root / folder / "images" / f"._{name}_{folder}.tif")
    return written
