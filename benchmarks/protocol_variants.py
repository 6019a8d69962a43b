"""How protocols of the literature would score the same predictions: plain NumPy, independent of xdseg's metric.

Counts are (K, K) int64, rows true and columns predicted; scores are mean IoU in percent. Sources of each rule are in
docs/protocols.md.
"""

from collections.abc import Iterable

import numpy as np

IGNORED = 255

Pair = tuple[np.ndarray, np.ndarray]  # truth and predicted ids (H, W), uint8


def counts(pair: Pair, *, classes: int) -> np.ndarray:
    """Counts of one image; pixels whose truth is 255 are left out."""
    truth, ids = pair
    seen = truth != IGNORED
    joint = truth[seen].astype(np.int64) * classes + ids[seen]
    return np.bincount(joint, minlength=classes * classes).reshape(classes, classes)


def ious(matrix: np.ndarray) -> np.ndarray:
    """IoU per class (K,), in percent; NaN for a class in neither truth nor prediction."""
    hits = np.diag(matrix).astype(float)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return 100 * np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def miou(matrix: np.ndarray) -> float:
    """Mean over the classes that have an IoU; what most papers mean."""
    return float(np.nanmean(ious(matrix)))


def mean_of_images(matrices: Iterable[np.ndarray]) -> float:
    """Mean over images of each image's own mean IoU: not the field's metric, though users compare it."""
    return float(np.mean([miou(matrix) for matrix in matrices]))


def without_outside(matrix: np.ndarray, lacking: set[int]) -> tuple[float, float]:
    """Rules a and b of a mean without the classes that the source lacks.

    a: their truth stays and makes false positives (evaluate all, leave their IoU out); b: their truth is ignored.
    """
    kept = [index for index in range(len(matrix)) if index not in lacking]
    ignoring = matrix.copy()
    ignoring[sorted(lacking)] = 0
    return tuple(float(np.nanmean(ious(counted)[kept])) for counted in (matrix, ignoring))


def absent_as_zero(matrix: np.ndarray) -> float:
    """Mean in which a class that is in neither truth nor prediction has IoU 0 instead of leaving it."""
    return float(np.mean(np.nan_to_num(ious(matrix))))


def present_only(matrix: np.ndarray) -> float:
    """Mean over the classes that the truth has: a class that is only predicted costs nothing itself."""
    return float(np.nanmean(ious(matrix)[matrix.sum(1) > 0]))


def halved(pair: Pair) -> Pair:
    """Every second row and column of both: nearest-neighbour reduction, as OpenCV does it."""
    return pair[0][::2, ::2], pair[1][::2, ::2]


def centre_square(pair: Pair) -> Pair:
    """The middle square of a landscape image, as a centre crop after resizing to a fixed height leaves it."""
    height, width = pair[0].shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    place = (slice(top, top + side), slice(left, left + side))
    return pair[0][place], pair[1][place]


def merged(pair: Pair, changes: dict[int, int]) -> Pair:
    """Another label map of the truth: class or 255 by class, all at once."""
    table = np.arange(256, dtype=np.uint8)
    table[list(changes)] = list(changes.values())
    return table[pair[0]], pair[1]


def scored_window(width: int, height: int, *, side: int = 1536) -> tuple[float, float]:
    """Shares by RobustNet's Mapillary protocol: of the photograph's pixels that are scored, of the square that is none.

    The photograph is resized to height `side`; the square is cut from its middle. A narrower photograph is padded by
    the whole missing width on both sides, but the square is placed as if it were not, so that it begins left of the
    padding: columns outside are filled with 0 as well, and 0 is road.
    """
    wide = int(width / height * side)
    pad = max(side - wide, 0)
    left = round((wide - side) / 2)  # in coordinates of the padded image, where the photograph begins at `pad`
    seen = max(0, min(left + side, pad + wide) - max(left, pad))
    return seen / wide, 1 - seen / side


def kept_ratio(width: int, height: int, *, box: tuple[int, int]) -> tuple[int, int]:
    """Width and height that fit into a box (long, short side) with the image's own ratio, rounded as mmcv does."""
    factor = min(max(box) / max(width, height), min(box) / min(width, height))
    return int(width * factor + 0.5), int(height * factor + 0.5)
