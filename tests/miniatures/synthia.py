"""SYNTHIA-RAND-CITYSCAPES in small, as its archive extracts."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, save_png16, text

VALID = [*range(23)]
INSTANCES = 977  # more than 8 bits hold


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write the split `full`; returns by split and name the image's pixels and the raw ids."""
    rng = np.random.default_rng(seed)
    folder = root / "RAND_CITYSCAPES"
    written: Written = {("full", None): {}}
    for i in range(count):
        name = f"{i:07d}"
        pixels, label = picture(rng, size), ids(rng, size, VALID)
        channels = np.zeros((*size, 3), np.uint16)
        channels[..., 0] = label
        channels[..., 1] = rng.integers(0, INSTANCES, size)
        save(folder / "RGB" / f"{name}.png", pixels)
        save_png16(folder / "GT" / "LABELS" / f"{name}.png", channels)
        save(folder / "GT" / "COLOR" / f"{name}.png", coloured(label))
        save(folder / "Depth" / f"{name}.png", rng.integers(0, 60000, size).astype(np.uint16))
        # what converters of other projects leave behind
        save(folder / "GT" / "LABELS" / f"{name}_labelTrainIds.png", label % 19)
        written["full", None][name] = pixels, label
        litter(folder / "RGB", f"{name}.png")
    text(folder / "README.txt", "terms")
    return written
