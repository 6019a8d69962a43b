"""ACDC in small, as its two archives extract."""

from pathlib import Path

import numpy as np
from miniatures.street_files import Written, coloured, ids, litter, picture, save

VALID = [*range(19), 255]
# a late condition has an early recording, so that joined conditions have to be sorted
RECORDINGS = {"fog": "GOPR0475", "night": "GP010376", "rain": "GOPR0400", "snow": "GOPR0122"}
FIRST = {"train": 61, "val": 1061, "test": 2061}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """Write `count` images per condition and split; returns by split and condition (None: all), then by name.

    The values are the image's pixels and the raw ids, None where unlabelled.
    """
    rng = np.random.default_rng(seed)
    written: Written = {}
    for condition, recording in RECORDINGS.items():
        for split, first in FIRST.items():
            for i in range(count):
                name = f"{recording}_frame_{first + 40 * i:06d}"
                folder = root / "rgb_anon" / condition / split / recording
                pixels = save(folder / f"{name}_rgb_anon.png", picture(rng, size))
                litter(folder, f"{name}_rgb_anon.png")
                label = ids(rng, size, VALID) if split != "test" else None
                if label is not None:
                    _write_labels(root / "gt" / condition / split / recording, name, label)
                reference = root / "rgb_anon" / condition / f"{split}_ref" / recording / f"{name}_rgb_ref_anon.png"
                fair = save(reference, picture(rng, size))
                for part in (condition, None):
                    written.setdefault((split, part), {})[name] = pixels, label
                    written.setdefault((f"{split}_ref", part), {})[f"{name}_rgb_ref"] = fair, None
    return written


def _write_labels(folder: Path, name: str, label: np.ndarray) -> None:
    save(folder / f"{name}_gt_labelTrainIds.png", label)
    save(folder / f"{name}_gt_labelIds.png", label % 34)
    save(folder / f"{name}_gt_labelColor.png", coloured(label))
    save(folder / f"{name}_gt_invIds.png", label % 2)
    save(folder / f"{name}_gt_invGray.png", label % 2 * 255)
