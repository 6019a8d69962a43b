"""A tree in GTA5's layout, drawn by streetworld: PNG images, and PNG labels of Cityscapes' raw ids under a palette."""

import shutil
from pathlib import Path

import images
import numpy as np
from dataset_arms import Pair
from PIL import Image

from xdseg.data.streetworld.settings import CLASSES
from xdseg.datasets import cityscapes

RAW_IDS = {name: raw for raw, name in cityscapes.MAP.items()}
PALETTE = np.random.default_rng(0).integers(0, 256, 3 * 256, dtype=np.uint8).tobytes()  # its indices count alone


def scenes(count: int, *, height: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W, 3) and labels (H, W) in raw ids, uint8; what streetworld ignores is unlabelled, 0."""
    raw = np.zeros(256, np.uint8)
    raw[: len(CLASSES)] = [RAW_IDS[name] for name in CLASSES]
    return [(image, raw[label]) for image, label in images.scenes(count, height=height, width=width)]


def write_tree(root: Path, *, height: int, width: int, pairs: int, distinct: int) -> list[Pair]:
    """Write so many pairs, copies of the distinct ones; returns their paths in order."""
    found = [(root / f"images/{number + 1:05d}.png", root / f"labels/{number + 1:05d}.png") for number in range(pairs)]
    for what in ("images", "labels"):
        (root / what).mkdir(parents=True)
    for (image, label), paths in zip(scenes(distinct, height=height, width=width), found, strict=False):
        Image.fromarray(image).save(paths[0])
        coloured = Image.fromarray(label)
        coloured.putpalette(PALETTE)
        coloured.save(paths[1])
    for number in range(distinct, pairs):
        for path, copy in zip(found[number % distinct], found[number], strict=True):
            shutil.copyfile(path, copy)
    return found
