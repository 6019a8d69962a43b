"""UrbanSyn in small; labels are written in each of the ways that they are known or thought to come in."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, text

VALID = [*range(20), 255]
KINDS = (3, 4, 1)  # channels, in turn


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write the split `full`; returns by split and name the image's pixels and the raw ids."""
    rng = np.random.default_rng(seed)
    written: Written = {("full", None): {}}
    for i in range(count):
        number = f"{i + 1:04d}"
        pixels, label = picture(rng, size), ids(rng, size, VALID)
        save(root / "rgb" / f"rgb_{number}.png", pixels)
        save(root / "ss" / f"ss_{number}.png", _in_channels(label, KINDS[i % len(KINDS)]))
        save(root / "ss_color" / f"ss_color_{number}.png", coloured(label))
        save(root / "panoptic" / f"panoptic_{number}.png", coloured(label))
        text(root / "bbox2d" / f"bbox2d_{number}.json", "[]")
        text(root / "depth" / f"depth_{number}.exr", "not an image here")
        written["full", None][f"rgb_{number}"] = pixels, label
        litter(root / "rgb", f"rgb_{number}.png")
    text(root / "camera_metadata.json")
    return written


def _in_channels(label: np.ndarray, channels: int) -> np.ndarray:
    if channels == 1:
        return label
    opaque = np.full_like(label, 255)
    return np.stack([label, label, label, opaque][:channels], axis=-1)
