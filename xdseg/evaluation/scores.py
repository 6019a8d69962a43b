"""Scores of a confusion matrix: IoU per class, their mean, pixel accuracy.

Of all pixels that are scored, for a kept class c:

    truth_c   pixels that are c               (row sum)
    pred_c    pixels predicted as c           (column sum over the rows that are scored)
    inter_c   pixels that are c and predicted as c
    IoU_c     inter_c / (truth_c + pred_c - inter_c)

With `outside: ignore`, only pixels whose true class is kept are scored; with `count`, those of the suite's other
classes are too: they are errors (false positives) of the kept class that they are called. A kept pixel predicted as a
class that is not kept, or as none at all, is an error of its true class (a false negative); the class that is not kept
has no IoU. A kept class in neither truth nor prediction has IoU None and leaves the mean; one that is only predicted
has 0. With every class kept this is the metric of the field: counts pooled over the whole split, never a mean over
images.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from xdseg.datasets.spaces import SUBSETS
from xdseg.errors import BadInput, suggest
from xdseg.settings.evaluation import Scoring


@dataclass(frozen=True)
class Scores:
    """Fractions 0..1; None where nothing is counted."""

    iou: dict[str, float | None]  # of the kept classes, in the suite's order
    miou: float | None
    pixel_accuracy: float | None


def kept_classes(
    scoring: Scoring, classes: tuple[str, ...], *, source_lacks: set[str], target_lacks: set[str]
) -> tuple[int, ...]:
    """Indices, ascending, of the classes that are scored.

    Variant `drop` leaves out what source or target lacks, `field` keeps all; `subset` restricts either by names.
    Raises BadInput for a name that is no class, here or in a region, for a named subset of classes that the suite
    does not tell apart, and if no class is left.
    """
    wanted = set(_wanted(scoring, classes))
    lacking = source_lacks | target_lacks
    for name in sorted((wanted | lacking).union(*scoring.regions.values()) - set(classes)):
        raise BadInput(f"scoring: {name!r} is no class of the suite; {suggest(name, classes)}")
    if scoring.absent == "drop":
        wanted -= lacking
    if not wanted:
        raise BadInput("scoring: no class is left; widen scoring.subset or set scoring.absent to field")
    return tuple(index for index, name in enumerate(classes) if name in wanted)


def _wanted(scoring: Scoring, classes: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(scoring.subset, str):
        return classes if scoring.subset is None else scoring.subset
    subset = SUBSETS[scoring.subset]
    for name in subset.known:
        if name not in classes:
            raise BadInput(
                f"scoring.subset: {scoring.subset} is measured where {name!r} is told apart, and the suite has no such "
                "class; leave subset out, or list the classes"
            )
    return subset.classes


def scores(
    matrix: np.ndarray,
    *,
    classes: tuple[str, ...],
    kept: tuple[int, ...],
    outside: Literal["ignore", "count"] = "ignore",
) -> Scores:
    """Scores of counts summed over a split: (K, K), rows true and columns predicted, or (K, K + 1), see `confusion`.

    Pixel accuracy is the share of the scored pixels that are called what they are: with `ignore` of those whose class
    is kept, with `count` of all, so that a pixel of a class outside is right if it is called that class.
    Integers and fractions throughout, one rounding at the end: the values depend on the counts alone.
    """
    rows = scored_rows(classes, kept, outside)
    predicted = matrix[rows].sum(axis=0).tolist()
    truth, hits = matrix.sum(axis=1).tolist(), matrix.diagonal().tolist()
    ious = {classes[c]: _ratio(hits[c], truth[c] + predicted[c] - hits[c]) for c in kept}
    present = [iou for iou in ious.values() if iou is not None]
    return Scores(
        iou={name: rounded(iou) for name, iou in ious.items()},
        miou=rounded(mean(present)),
        pixel_accuracy=rounded(_ratio(sum(hits[row] for row in rows), sum(truth[row] for row in rows))),
    )


def scored_rows(classes: tuple[str, ...], kept: tuple[int, ...], outside: Literal["ignore", "count"]) -> list[int]:
    """Ids of the true classes whose pixels are scored."""
    return list(kept) if outside == "ignore" else list(range(len(classes)))


def nineteen_sixteenths(found: Scores) -> float | None:
    """`mIoU19 * 19 / 16`: what DAFormer's code reports for SYNTHIA, from the scores of all 19 classes.

    It is the mean of subset 16a exactly if the IoUs of terrain, truck and train are 0. If one is above 0 it is higher
    than that mean; if one is None, in neither truth nor prediction, the mean that is scaled is of fewer than 19.
    """
    return None if found.miou is None else found.miou * 19 / 16


def mean(values: list[Fraction]) -> Fraction | None:
    """Their mean, or None if there are none."""
    return sum(values, Fraction()) / len(values) if values else None


def _ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def rounded(value: Fraction | None) -> float | None:
    """The nearest floating-point number."""
    return None if value is None else float(value)
