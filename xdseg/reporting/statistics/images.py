"""One pair's scores over the target's images: mIoU anew from the pooled counts of each bootstrap replicate."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import norm, t

from xdseg.reporting.statistics.estimate import CONFIDENCE

FEWEST_CLUSTERS = 20  # below, intervals hold less than they promise (docs/statistics.md)


@dataclass(frozen=True)
class ImageInterval:
    """A 95 % interval over images, in the unit of the replicates; without one, `reason` says why."""

    low: float | None
    high: float | None
    clusters: int
    reason: str = ""

    @property
    def told(self) -> str:
        """Its kind, as a table says it; empty without an interval."""
        return "" if self.reason else f"images, bootstrap of {self.clusters} recordings"


def mean_iou(totals: np.ndarray, *, kept: Sequence[int], rows: Sequence[int]) -> np.ndarray:
    """mIoU (R,), 0..1, of counts (R, K, C): as `xdseg.evaluation.scores.scores` has it, for many at once.

    `kept` are the classes that are scored, `rows` the true classes whose pixels are. NaN where nothing is counted.
    """
    hits = np.diagonal(totals, axis1=1, axis2=2)[:, list(kept)]
    truth = totals.sum(axis=2)[:, list(kept)]
    predicted = totals[:, list(rows)].sum(axis=1)[:, list(kept)]
    union = truth + predicted - hits
    counted = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(union, dtype=float), where=counted)
    with np.errstate(invalid="ignore"):  # 0 / 0: no class is counted
        return iou.sum(axis=1) / counted.sum(axis=1)


def over_images(replicates: np.ndarray, clusters: int, *, fewest: int = FEWEST_CLUSTERS) -> ImageInterval:
    """Interval of bootstrap replicates (R,), of a score or of a difference of two methods' paired scores.

    Percentiles, moved outwards as Student's t is wider than the normal (Hesterberg 2015, "expanded percentile"):
    at 20 recordings plain percentiles are 9 % too narrow.
    Fewer recordings than `fewest`, at least 2, have none.
    """
    if clusters < fewest:
        return ImageInterval(None, None, clusters, f"{clusters} of at least {fewest} recordings")
    if np.isnan(replicates).any():
        return ImageInterval(None, None, clusters, "a replicate without a pixel to score")
    tail = float(norm.sf(sqrt(clusters / (clusters - 1)) * t.isf((1 - CONFIDENCE) / 2, clusters - 1)))
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return ImageInterval(float(low), float(high), clusters)
