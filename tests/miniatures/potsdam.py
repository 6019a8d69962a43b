"""A small Potsdam: RGB and IRRG of the same tiles, 6_7 and 4_12 with labels off colour."""

from pathlib import Path

import numpy as np
from miniatures.isprs_tiles import COLOURS, windows
from miniatures.painting import Written, litter, mixed, photograph, save

TILES = {"train": ("2_10", "4_12", "6_7", "7_9"), "val": ("2_13", "6_15", "7_13")}
LOSSES = ("4_12", "6_7")  # colours a little off


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` tiles of `size` a split: larger than 512, they become several items."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, tiles in TILES.items():
        for tile in tiles[:count]:
            label = mixed(rng, size, range(7))
            colours = COLOURS[label]
            if tile in LOSSES:
                noise = rng.integers(0, 60, colours.shape, dtype=np.uint8)
                colours = np.where(colours == 0, noise, 255 - noise)
            save(root / "5_Labels_all_noBoundary" / f"top_potsdam_{tile}_label_noBoundary.tif", colours)
            for part, folder in (("rgb", "2_Ortho_RGB"), ("irrg", "3_Ortho_IRRG")):
                image = save(root / folder / f"top_potsdam_{tile}_{part.upper()}.tif", photograph(rng, size))
                items = windows(tile, image, label)
                for key in [(split, part)] + [(split, None)] * (part == "rgb"):
                    written[key] = written.get(key, {}) | items
                litter(root / folder / f"top_potsdam_{tile}_{part.upper()}.tfw")
    litter(root / "2_Ortho_RGB" / "top_potsdam_9_99_RGB.tif", root / "1_DSM" / "dsm_potsdam_02_10.tif")
    litter(root / "5_Labels_all" / "top_potsdam_2_10_label.tif")
    return written
