"""A small Drishti-GS: shares of four experts as grey values, rounded either way at one half."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

FEW, MANY = (0, 63, 64, 126), (127, 128, 191, 255)
SPLITS = {"train": ("Training", "GT", (2, 4, 101)), "test": ("Test", "Test_GT", (1, 3, 100))}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a split, three at most."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, (folder, labels, numbers) in SPLITS.items():
        pairs = written[split, None] = {}
        for number in numbers[:count]:
            name = f"drishtiGS_{number:03d}"
            image = save(root / folder / "Images" / f"{name}.png", photograph(rng, size))
            label = mixed(rng, size, (0, 0, 1, 2))
            maps = root / folder / labels / name / "SoftMap"
            disc = np.where(label == 1, rng.choice(MANY, size), rng.choice(FEW, size))
            disc[label == 2] = rng.choice((*FEW, *MANY), size)[label == 2]  # a cup may be seen where no disc is
            save(maps / f"{name}_ODsegSoftmap.png", disc.astype(np.uint8))
            cup = np.where(label == 2, rng.choice(MANY, size), rng.choice(FEW, size))
            save(maps / f"{name}_cupsegSoftmap.png", cup.astype(np.uint8))
            pairs[name] = image, label
            litter(maps.parent / f"{name}_cdrValues.txt", maps.parent / "AvgBoundary" / f"{name}_ODAvgBoundary.txt")
        litter(root / folder / "Images" / "Thumbs.db", root / folder / "Images" / f"._{name}.png")
    return written
