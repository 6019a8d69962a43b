"""A small KITTI: Cityscapes' raw ids, with colours and instances beside them."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a split."""
    rng = np.random.default_rng(seed)
    written: Written = {("train", None): {}, ("test", None): {}}
    for number in range(count):
        name = f"{number:06d}_10"
        image = save(root / "training" / "image_2" / f"{name}.png", photograph(rng, size))
        label = save(root / "training" / "semantic" / f"{name}.png", mixed(rng, size, range(34)))
        save(root / "training" / "semantic_rgb" / f"{name}.png", photograph(rng, size))
        save(root / "training" / "instance" / f"{name}.png", label.astype(np.uint16) * 256)
        written["train", None][f"training_{name}"] = image, label
        image = save(root / "testing" / "image_2" / f"{name}.png", photograph(rng, size))
        written["test", None][f"testing_{name}"] = image, None
    litter(root / "training" / "image_2" / ".DS_Store", root / "testing" / "image_2" / f"._{name}.png")
    return written
