"""What checking and mapping of data sets is compared with: plain Pillow, and how training code maps ids."""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from io import BytesIO
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from xdseg.data.decoding import map_ids

IGNORED = 255
FILES_PER_TASK = 32
Pair = tuple[Path, Path]  # image and label
Found = tuple[bool, list[int], str, str]  # are both of one size, ids of the label, digests of image and label
Check = Callable[[Pair], Found]
Mapping = Callable[[np.ndarray, np.ndarray], np.ndarray]  # raw ids (H, W) and a table (256,), uint8; gives classes


def decoded(pair: Pair) -> Found:
    """The check that one would write: decode both, compare sizes, list the ids, digest both."""
    with Image.open(pair[0]) as image:
        image.load()
    with Image.open(pair[1]) as label:
        ids = np.unique(np.array(label)).tolist()
    image_digest, label_digest = (sha256(path.read_bytes()).hexdigest() for path in pair)
    return image.size == label.size, ids, image_digest, label_digest


def verified(pair: Pair) -> Found:
    """The same with the savings of `xdseg.data.inspection`: an image's checksums, one reading, ids by a histogram."""
    image_bytes, label_bytes = (path.read_bytes() for path in pair)
    with Image.open(BytesIO(image_bytes)) as image:
        image.verify()
    with Image.open(BytesIO(label_bytes)) as label:
        ids = [i for i, pixels in enumerate(label.histogram()) if pixels]
    return image.size == label.size, ids, sha256(image_bytes).hexdigest(), sha256(label_bytes).hexdigest()


def alone(check: Check, pairs: Sequence[Pair]) -> list[Found]:
    """One after another."""
    return [check(pair) for pair in pairs]


def pooled(check: Check, pairs: Sequence[Pair]) -> list[Found]:
    """On all cores."""
    with Pool(os.cpu_count()) as pool:
        return pool.map(check, pairs, chunksize=FILES_PER_TASK)


def sequential(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
    """One comparison and one masked assignment for each id that has a class; all else is ignored from the start."""
    out = np.full_like(raw, IGNORED)
    for old in np.flatnonzero(table != IGNORED).tolist():
        out[raw == old] = table[old]
    return out


def indexed(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The table indexed by the ids."""
    return table[raw]


def taken(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The same by NumPy's own function for it."""
    return table.take(raw)


def pointed(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Pillow's table, there and back."""
    return np.array(Image.fromarray(raw).point(table.tolist()))


MAPPINGS: dict[str, Mapping] = {
    "ours": map_ids,
    "sequential": sequential,
    "indexing": indexed,
    "take": taken,
    "pillow_point": pointed,
}
