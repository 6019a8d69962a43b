"""Dark Zurich in small, its three archives extracted into one root."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save, text

VALID = [*range(19), 255]
PLACES = {
    "train": ("train/night/GOPR0351", ""),
    "train_twilight": ("train/twilight/GOPR0346", ""),
    "train_day": ("train/day/GOPR0345", ""),
    "val": ("val/night/GOPR0356", ""),
    "val_ref": ("val_ref/day/GOPR0356_ref", "_ref"),
    "test": ("test/night/GP010364", ""),
    "test_ref": ("test_ref/day/GP010364_ref", "_ref"),
}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write every split; returns by split and name the image's pixels and the raw ids, None where unlabelled."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, (place, mark) in PLACES.items():
        folder = root / "rgb_anon" / place
        for i in range(count):
            name = f"{folder.name.removesuffix('_ref')}_frame_{321 + 6 * i:06d}{mark}"
            pixels = save(folder / f"{name}_rgb_anon.png", picture(rng, size))
            label = ids(rng, size, VALID) if split == "val" else None
            if label is not None:
                labels = root / "gt" / place
                save(labels / f"{name}_gt_labelTrainIds.png", label)
                save(labels / f"{name}_gt_labelIds.png", label % 34)
                save(labels / f"{name}_gt_labelColor.png", coloured(label))
                save(labels / f"{name}_gt_invGray.png", label % 2 * 255)
            written.setdefault((split, None), {})[name] = pixels, label
            litter(folder, f"{name}_rgb_anon.png")
        text(root / "lists_file_names" / f"{split}_filenames.txt", f"{place}\n")
    return written
