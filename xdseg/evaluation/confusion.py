"""The confusion matrix of one image: exact counts of (true class, predicted class)."""

import numpy as np

from xdseg.errors import BadInput

IDS = 256  # values of an 8-bit label
BLOCK = 1 << 17  # pixels counted at a time: bincount widens them to 64 bits, and a megabyte stays in the L2 cache
WORTHWHILE = 0.25  # runs per pixel below which counting runs is faster than counting pixels


def confusion(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    classes: int,
    ignore_index: int,
    void: bool = False,
    name: str = "image",
) -> np.ndarray:
    """Counts (K, K), int64: rows are the true class, columns the predicted one, K = `classes` (1..256).

    `truth` and `prediction` are class ids (H, W), uint8. Pixels whose truth is `ignore_index` are not counted, but
    their prediction must be a class too. With `void` (K at most 255) there is a last column, (K, K + 1), for pixels
    whose prediction is K: of no class, so an error of the true class and of no other.

    Raises BadInput, its line opening with `name`, if the two differ in shape, are not 8-bit, or hold an id that is
    neither a class nor (in the truth) `ignore_index`.
    """
    _check_arrays(truth, prediction, name)
    highest, columns = int(prediction.max(initial=0)), classes + void
    if highest >= columns:
        raise BadInput(f"{name}: the prediction holds id {highest}, classes are 0..{classes - 1}; write class ids")
    pairs = _count_pairs(truth.ravel(), prediction.ravel(), columns)  # (256, columns)
    if 0 <= ignore_index < IDS:  # no 8-bit truth holds another number, and -1 would index the last row
        pairs[ignore_index] = 0
    foreign = np.flatnonzero(pairs[classes:].any(axis=1)) + classes
    if foreign.size:
        raise BadInput(
            f"{name}: the truth holds id {foreign[0]}, neither one of the classes 0..{classes - 1} "
            f"nor ignore_index {ignore_index}; mend the label"
        )
    return pairs[:classes].copy()  # a copy, so that the other rows are freed


def _check_arrays(truth: np.ndarray, prediction: np.ndarray, name: str) -> None:
    for array, role in ((truth, "truth"), (prediction, "prediction")):
        if array.dtype != np.uint8:
            raise BadInput(f"{name}: the {role} is {array.dtype}, expected 8-bit class ids (uint8)")
    if truth.shape != prediction.shape:
        raise BadInput(f"{name}: the prediction is {_size(prediction)}, the truth {_size(truth)}; predict at its size")


def _size(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))


def _count_pairs(truth: np.ndarray, prediction: np.ndarray, columns: int) -> np.ndarray:
    """How often each (truth id, prediction) occurs: (256, columns), int64, from two flat arrays.

    All 256 ids of the truth have a row, so finding a foreign id costs no pass over the pixels. The joint index is at
    most 256 * columns - 1, which 16 bits hold for the 256 ids that 8 bits can tell apart.
    """
    counts = np.zeros(IDS * columns, dtype=np.int64)
    for start in range(0, truth.size, BLOCK):
        joint = truth[start : start + BLOCK].astype(np.uint16)
        joint *= np.uint16(columns)
        joint += prediction[start : start + BLOCK]
        counts += _histogram(joint, counts.size)
    return counts.reshape(IDS, columns)


def _histogram(values: np.ndarray, size: int) -> np.ndarray:
    """`np.bincount(values, minlength=size)` of a flat array, faster where equal values stand side by side.

    Label maps are mostly runs; counting run by run takes less than half the time on them and a tenth more on noise.
    """
    breaks = values[1:] != values[:-1]
    if np.count_nonzero(breaks) > values.size * WORTHWHILE:
        return np.bincount(values, minlength=size)
    last = np.append(np.flatnonzero(breaks), values.size - 1)  # position of each run's last element
    lengths = np.diff(last, prepend=-1)
    # weighted counts come as float64, which holds every number up to a block's size exactly
    return np.bincount(values[last], weights=lengths, minlength=size).astype(np.int64)
