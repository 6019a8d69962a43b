"""A small Vaihingen: area11 sorts before area1 by item, and area9 has a label but is in no split."""

from pathlib import Path

import numpy as np
from miniatures.isprs_tiles import COLOURS, windows
from miniatures.painting import Written, litter, mixed, photograph, save

AREAS = {"train": (1, 11, 3), "val": (2, 20, 38)}
IMAGES = Path("ISPRS_semantic_labeling_Vaihingen") / "top"
LABELS = "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE"


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` tiles of `size` a split: larger than 512, they become several items."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, areas in AREAS.items():
        pairs = written[split, None] = {}
        for area in areas[:count]:
            label = mixed(rng, size, range(7))
            save(root / LABELS / f"top_mosaic_09cm_area{area}_noBoundary.tif", COLOURS[label])
            image = save(root / IMAGES / f"top_mosaic_09cm_area{area}.tif", photograph(rng, size))
            pairs.update(windows(f"area{area}", image, label))
    litter(root / LABELS / "top_mosaic_09cm_area9_noBoundary.tif", root / IMAGES / "top_mosaic_09cm_area9.tif")
    litter(root / IMAGES.parent / "dsm" / "dsm_09cm_matching_area1.tif")
    return written
