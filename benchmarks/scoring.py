"""Scoring against torchmetrics: the confusion matrix and IoU of 1024 × 2048 label maps, 19 classes, one thread.

Both arms get the same uint8 arrays, count the same pixels and end with the IoU of every class; that the counts are
equal is checked first. Label maps are scenes of streetworld, predictions look like a network's (noisy scores on a
coarse grid, resized), 2% of the pixels are ignored.

Bound: at least 15 × MulticlassJaccardIndex with default arguments but for ignore_index and average, which the task
asks for. Without its checks of the arguments (validate_args=False) it is measured too.
"""

import sys
import time
from functools import partial

import images
import measure
import numpy as np
import torch
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.scores import scores

CLASSES = 19
NAMES = tuple(f"class {number}" for number in range(CLASSES))
BOUND = 15

Pairs = list[tuple[np.ndarray, np.ndarray]]


def ours(pairs: Pairs) -> np.ndarray:
    """Counts (K, K) of all pairs of truth and prediction, then scores."""
    counts = sum(confusion(truth, ids, classes=CLASSES, ignore_index=images.IGNORED) for truth, ids in pairs)
    scores(counts, classes=NAMES, kept=tuple(range(CLASSES)))
    return counts


def theirs(pairs: Pairs, **options: bool) -> torch.Tensor:
    """IoU per class, of the same arrays."""
    metric = MulticlassJaccardIndex(CLASSES, average=None, ignore_index=images.IGNORED, **options)
    for truth, ids in pairs:
        metric.update(torch.from_numpy(ids), torch.from_numpy(truth))
    return metric.compute()


def check_equal(pairs: Pairs) -> None:
    """Both count the same, or nothing may be compared."""
    metric = MulticlassConfusionMatrix(CLASSES, ignore_index=images.IGNORED)
    for truth, ids in pairs:
        metric.update(torch.from_numpy(ids), torch.from_numpy(truth))
    if not np.array_equal(metric.compute().numpy(), ours(pairs)):
        raise SystemExit("scoring: the two arms count differently")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    height, width, count, rounds = (128, 256, 2, 5) if chosen.quick else (1024, 2048, 3, 15)
    drawn = images.scenes(count, height=height, width=width)
    pairs = [(label, images.predicted(label, classes=CLASSES, seed=i)) for i, (_, label) in enumerate(drawn)]
    noise = np.random.default_rng(0).integers(0, CLASSES, (2, height, width), dtype=np.uint8)
    check_equal(pairs)
    arms = {
        "ours": partial(ours, pairs),
        "theirs": partial(theirs, pairs),
        "theirs unchecked": partial(theirs, pairs, validate_args=False),
        "ours on noise": partial(ours, [(noise[0], noise[1])]),
        "theirs on noise": partial(theirs, [(noise[0], noise[1])]),
    }
    seconds = measure.in_turns(arms, rounds=rounds, clock=time.process_time)
    found = measure.Results(notes={"shape": [height, width], "classes": CLASSES, "images": count})
    against = measure.ratios(seconds["theirs"], seconds["ours"])
    found.bounded += [measure.Figure("scoring", against, least=BOUND, about="torchmetrics / ours")]
    unchecked = measure.ratios(seconds["theirs unchecked"], seconds["ours"])
    noisy = measure.ratios(seconds["theirs on noise"], seconds["ours on noise"])
    found.others += [
        measure.Figure("validate_args_false", unchecked, about="torchmetrics with validate_args=False / ours"),
        measure.Figure("on_noise", noisy, about="torchmetrics / ours, where every pixel is another class"),
        *(
            measure.Figure(
                f"ms_{arm.replace(chr(32), chr(95))}",
                [1e3 * s / count for s in seconds[arm]],
                unit="ms",
                about=f"{arm}, per image",
            )
            for arm in ("ours", "theirs", "theirs unchecked")
        ),
    ]
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
