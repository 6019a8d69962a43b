"""A small REFUGE: masks by diagnosis in train and test, with values a little off."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

SPLITS = {  # image folder, mask folder, name
    "train": (
        ("Training400/Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Glaucoma", "g"),
        ("Training400/Non-Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma", "n"),
    ),
    "val": (("REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks", "V"),),
    "test": (
        ("Test400", "REFUGE-Test-GT/Disc_Cup_Masks/G", "T0"),
        ("Test400", "REFUGE-Test-GT/Disc_Cup_Masks/N", "T1"),
    ),
}
VALUES = np.array([[255, 201], [128, 200], [0, 50]], np.uint8)  # of background, disc and cup: usual, and just within


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a folder."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, folders in SPLITS.items():
        pairs = written[split, None] = {}
        for images, masks, before in folders:
            for number in range(1, count + 1):
                name = f"{before}{number:0{5 - len(before)}d}"
                image = save(root / images / f"{name}.jpg", photograph(rng, size))
                label = mixed(rng, size, (0, 0, 1, 2))
                save(root / masks / f"{name}.bmp", VALUES[label, rng.integers(0, 2, size)])
                pairs[name] = image, label
            litter(
                root / images / ".DS_Store", root / masks / "Illustration" / f"{name}.bmp", root / masks / "Thumbs.db"
            )
    litter(root / "REFUGE-Validation400-GT" / "Fovea_locations.xlsx", root / "Test400" / "index.json")
    return written
