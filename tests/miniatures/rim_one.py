"""A small RIM-ONE r3: stereo images twice as wide as an item, masks as wide as one, or as the pair."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

EYES = {  # by split: folder, name, ending of masks, whether masks show both halves
    "train": (
        ("Healthy", "N-10-R", ".png", True),
        ("Glaucoma and suspects", "G-1-L", ".tif", False),
        ("Glaucoma and suspects", "S-1-L", ".png", False),
    ),
    "test": (
        ("Glaucoma and suspects", "S-2-L", ".tif", True),
        ("Healthy", "N-1-L", ".png", False),
        ("Glaucoma and suspects", "G-2-R", ".png", True),
    ),
}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a split, three at most; `size` is that of the left half."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    height, width = size
    for split, eyes in EYES.items():
        pairs = written[split, None] = {}
        for folder, name, ending, both in eyes[:count]:
            stereo = save(root / folder / "Stereo Images" / f"{name}.jpg", photograph(rng, (height, 2 * width)))
            label = mixed(rng, (height, 2 * width if both else width), (0, 0, 1, 2))
            masks = root / folder / "Average_masks"
            save(masks / f"{name}-Disc-Avg{ending}", np.where(label >= 1, 255, 0).astype(np.uint8))
            save(masks / f"{name}-Cup-Avg{ending}", np.where(label == 2, 255, 0).astype(np.uint8))
            save(root / folder / "Expert1_masks" / f"{name}-1-Disc-T{ending}", np.zeros(size, np.uint8))
            pairs[name] = stereo[:, :width], label[:, :width]
    for folder in ("Healthy", "Glaucoma and suspects"):
        litter(root / folder / "Stereo Images" / "Thumbs.db", root / folder / "Stereo Images" / "._N-10-R.jpg")
    litter(root / "Scripts" / "evaluate.m")
    return written
