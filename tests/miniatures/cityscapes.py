"""Cityscapes in small, as its two archives extract."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, save_instances, text

CITIES = {"train": "aachen", "val": "frankfurt", "test": "berlin"}
VALID = [*range(34)]


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write every split; returns by split and name the image's pixels and the raw ids, None where unlabelled."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, city in CITIES.items():
        images, labels = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
        for i in range(count):
            name = f"{city}_{i // 2:06d}_{19 + i:06d}"
            pixels, label = picture(rng, size), ids(rng, size, VALID)
            save(images / f"{name}_leftImg8bit.png", pixels)
            # the archive has labels of test images, too, on which nothing is drawn
            save(labels / f"{name}_gtFine_labelIds.png", label * (split != "test"))
            save(labels / f"{name}_gtFine_color.png", coloured(label))
            save(labels / f"{name}_gtFine_labelTrainIds.png", label % 19)
            save_instances(labels / f"{name}_gtFine_instanceIds.png", label)
            text(labels / f"{name}_gtFine_polygons.json")
            written.setdefault((split, None), {})[name] = pixels, label if split != "test" else None
            litter(images, f"{name}_leftImg8bit.png")
        litter(images.parent, "aachen")
    text(root / "license.txt", "terms")
    return written
