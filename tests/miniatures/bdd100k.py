"""BDD100K in small, in the layout of the portal or of the older archive."""

from pathlib import Path
from typing import Literal

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, text

VALID = [*range(19), 255]
STARTS = {"train": 0x0004A4C0, "val": 0x7D06FEFE, "test": 0xAC6D4F42}
IMAGES = {"portal": "images/10k", "older": "seg/images"}
LABELS = {"portal": "labels/sem_seg/masks/{}/{}.png", "older": "seg/labels/{}/{}_train_id.png"}
COLOURS = {"portal": "labels/sem_seg/colormaps/{}/{}.png", "older": "seg/color_labels/{}/{}_train_color.png"}


def write(
    root: Path,
    *,
    count: int = 2,
    size: tuple[int, int] = (48, 64),
    seed: int = 0,
    layout: Literal["portal", "older"] = "portal",
) -> Written:
    """Write every split but `night`; returns by split and name the pixels and the raw ids, None where unlabelled."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    images = root / IMAGES[layout]
    for split, start in STARTS.items():
        for i in range(count):
            name = f"{start + 4096 * i:08x}-{start ^ 0x5B0D:08x}"
            pixels = save(images / split / f"{name}.jpg", picture(rng, size))
            label = ids(rng, size, VALID) if split != "test" else None
            if label is not None:
                save(root / LABELS[layout].format(split, name), label)
                save(root / COLOURS[layout].format(split, name), coloured(label))
                text(root / "labels" / "sem_seg" / "polygons" / f"sem_seg_{split}.json")
            written.setdefault((split, None), {})[name] = pixels, label
            litter(images / split, f"{name}.jpg")
    return written
