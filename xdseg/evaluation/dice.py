"""Dice of regions: unions of classes that may overlap, such as the optic disc, which holds the cup.

    Dice = 2 |truth and prediction| / (|truth| + |prediction|)

counted on the same pixels as the IoU (see `xdseg.evaluation.scores`). Where a region is in neither truth nor
prediction it has none: pooled over the split that is None and leaves the mean over regions; of a single image, the
image leaves the mean over images. A region that is only predicted has 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from xdseg.evaluation.scores import mean, rounded


def dice_scores(
    per_image: np.ndarray, *, classes: tuple[str, ...], regions: Mapping[str, Sequence[str]], rows: Sequence[int]
) -> dict[str, Any]:
    """What a score says of its regions, fractions 0..1 or None, from counts (N, K, K) or (N, K, K + 1).

    `rows` are the ids of the true classes whose pixels are scored. `dice` counts over the whole split,
    `dice_per_image` is the mean over images, `mean_dice` the mean of `dice` over regions. Exact but for one rounding.
    """
    members = {name: [classes.index(member) for member in wanted] for name, wanted in regions.items()}
    pooled = {name: _dice(per_image.sum(axis=0), inside, rows) for name, inside in members.items()}
    single = {name: [_dice(counts, inside, rows) for counts in per_image] for name, inside in members.items()}
    return {
        "dice": {name: rounded(value) for name, value in pooled.items()},
        "dice_per_image": {name: rounded(_mean(values)) for name, values in single.items()},
        "mean_dice": rounded(_mean(pooled.values())),
    }


def _dice(counts: np.ndarray, inside: list[int], rows: Sequence[int]) -> Fraction | None:
    """Rows and columns of a region's classes are merged."""
    true = [row for row in rows if row in inside]
    both = int(counts[np.ix_(true, inside)].sum())
    sizes = int(counts[true].sum()) + int(counts[np.ix_(rows, inside)].sum())
    return Fraction(2 * both, sizes) if sizes else None


def _mean(values: Iterable[Fraction | None]) -> Fraction | None:
    return mean([value for value in values if value is not None])
