"""A small LoveDA: numbers that run on over rural, urban and the splits; no masks for test."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

FIRST = {  # number of the first image; as text, 998 comes after 1366
    ("train", "rural"): 998,
    ("train", "urban"): 1366,
    ("val", "rural"): 2522,
    ("val", "urban"): 3514,
    ("test", "rural"): 4191,
    ("test", "urban"): 5167,
}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a part and split; without a part, those of both."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for (split, part), first in FIRST.items():
        pairs = written[split, part] = {}
        folder = root / split.capitalize() / part.capitalize()
        for number in range(first, first + count):
            image = save(folder / "images_png" / f"{number}.png", photograph(rng, size))
            label = None
            if split != "test":
                label = save(folder / "masks_png" / f"{number}.png", mixed(rng, size, range(8)))
            pairs[str(number)] = image, label
        litter(folder / "images_png" / ".DS_Store", folder / "images_png" / f"._{first}.png", folder / "readme.txt")
        written[split, None] = written.get((split, None), {}) | pairs
    return written
