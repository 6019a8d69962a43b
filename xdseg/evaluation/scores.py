"""Scores of a confusion matrix: IoU per class, their mean, pixel accuracy.

Only pixels whose true class is kept are scored. Of those, for a kept class c:

    truth_c   pixels that are c               (row sum)
    pred_c    pixels predicted as c           (column sum over the kept rows)
    inter_c   pixels that are c and predicted as c
    IoU_c     inter_c / (truth_c + pred_c - inter_c)

A kept pixel predicted as a class that is not kept is an error of its true class (a false negative); the class that is
not kept has no IoU. A kept class in neither truth nor prediction has IoU None and leaves the mean; one that is only
predicted has 0. With every class kept this is the metric of the field: counts pooled over the whole split, never a
mean over images.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

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

    Variant `drop` leaves out what source or target lacks, `field` keeps all; `subset` restricts either by name.
    Raises BadInput for a name that is no class, and if no class is left.
    """
    wanted = set(classes if scoring.subset is None else scoring.subset)
    lacking = source_lacks | target_lacks
    for name in sorted((wanted | lacking) - set(classes)):
        raise BadInput(f"scoring: {name!r} is no class of the suite; {suggest(name, classes)}")
    if scoring.absent == "drop":
        wanted -= lacking
    if not wanted:
        raise BadInput("scoring: no class is left; widen scoring.subset or set scoring.absent to field")
    return tuple(index for index, name in enumerate(classes) if name in wanted)


def scores(matrix: np.ndarray, *, classes: tuple[str, ...], kept: tuple[int, ...]) -> Scores:
    """Scores of counts (K, K), rows true and columns predicted, summed over a split.

    Integers and fractions throughout, one rounding at the end: the values depend on the counts alone.
    """
    counts = matrix[list(kept)]  # (kept, K): truth of other classes is ignored
    truth, predicted = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    hits = [int(row[index]) for row, index in zip(counts, kept, strict=True)]
    ious = [_ratio(hit, area + predicted[index] - hit) for hit, area, index in zip(hits, truth, kept, strict=True)]
    present = [iou for iou in ious if iou is not None]
    return Scores(
        iou={classes[index]: _rounded(iou) for index, iou in zip(kept, ious, strict=True)},
        miou=_rounded(sum(present, Fraction()) / len(present) if present else None),
        pixel_accuracy=_rounded(_ratio(sum(hits), sum(truth))),
    )


def _ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def _rounded(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
