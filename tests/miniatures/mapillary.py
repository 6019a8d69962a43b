"""Mapillary Vistas in small, as the archive of v2.0 extracts or the one before it; every other image is portrait."""

from pathlib import Path
from typing import Literal

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, save_instances, save_palette, text

VALID = [*range(66)]
FOLDERS = {"train": "training", "val": "validation", "test": "testing"}


def write(
    root: Path,
    *,
    count: int = 2,
    size: tuple[int, int] = (48, 64),
    seed: int = 0,
    layout: Literal["v2.0", "v1.2"] = "v2.0",
) -> Written:
    """Write every split; returns by split and name the image's pixels and the raw ids, None where unlabelled."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, folder in FOLDERS.items():
        for i in range(count):
            name = f"{'-_aZ'[i % 4]}{split[:2]}C1J9CvgFP4BTVLXNe{i:03d}"
            shape = size if i % 2 == 0 else size[::-1]
            pixels = save(root / folder / "images" / f"{name}.jpg", picture(rng, shape))
            label = ids(rng, shape, VALID) if split != "test" else None
            if label is not None:
                _write_labels(root / folder, name, label, layout)
            written.setdefault((split, None), {})[name] = pixels, label
            litter(root / folder / "images", f"{name}.jpg")
    text(root / ("config_v1.2.json" if layout == "v2.0" else "config.json"))
    return written


def _write_labels(folder: Path, name: str, label: np.ndarray, layout: str) -> None:
    base = folder / "v1.2" if layout == "v2.0" else folder
    save_palette(base / "labels" / f"{name}.png", label)
    save_instances(base / "instances" / f"{name}.png", label)
    save(base / "panoptic" / f"{name}.png", coloured(label))
    text(base / "panoptic" / "panoptic_2018.json")
    if layout == "v2.0":
        save_palette(folder / "v2.0" / "labels" / f"{name}.png", label + 50)
        text(folder / "v2.0" / "polygons" / f"{name}.json")
