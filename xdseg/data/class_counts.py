"""Pixels per class of each image of a split, counted once and kept beside the decoded labels.

Kept under the labels' digest, so that other labels are counted anew. A split that is decoded on the fly is decoded
once for it, image after image, and none is held.
"""

import json
from pathlib import Path

import numpy as np

from xdseg.data.store import PixelStore
from xdseg.files import write_text

SUFFIX = ".classes.json"
VALUES = 256  # that 8-bit labels can have


def class_counts(labels: PixelStore, classes: int) -> np.ndarray:
    """(images, classes) int64, in the store's order; ignored pixels are not among them."""
    path = labels.index.with_suffix(SUFFIX)
    if (kept := _kept(path, labels, classes)) is not None:
        return kept
    print(f"{labels.index}: counting the pixels of each class", flush=True)
    counts = np.array([count_values(labels[number])[:classes] for number in range(len(labels))])
    write_text(path, json.dumps({"digest": labels.digest, "counts": counts.tolist()}) + "\n")
    return counts


def count_values(labels: np.ndarray) -> np.ndarray:
    """Pixels of each value of uint8 labels, (256,) int64."""
    return np.bincount(labels.ravel(), minlength=VALUES)


def _kept(path: Path, labels: PixelStore, classes: int) -> np.ndarray | None:
    """Counts of these very labels, if such lie there; a damaged file counts as none."""
    try:
        contents = json.loads(path.read_text())
        counts = np.array(contents["counts"], dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    matches = contents["digest"] == labels.digest and counts.shape == (len(labels), classes)
    return counts if matches else None
