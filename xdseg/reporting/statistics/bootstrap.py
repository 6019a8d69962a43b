"""Bootstrap of a target's images, by recording: images of one drive are alike, so they are drawn together.

Every method sees the same drawn recordings, whoever computes it, when and where: the draws come from the names of the
recordings alone. A difference of two methods' replicates is therefore a replicate of their difference.

A replicate is the same number to the last bit on every machine: draws are bits of a generator whose stream is fixed
(PCG64, numpy's NEP 19), counts whole numbers that float64 holds, whatever the order in which they are added; an IoU is
one division, and the mean is summed in the order of the classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from xdseg.canonical import fingerprint

REPLICATES = 2000
FEWEST_CLUSTERS = 20  # below, intervals hold less than they promise (docs/statistics.md)
IMAGES, RECORDINGS = "images", "recordings"  # what is drawn
SEED_DIGITS = 16  # of the names' fingerprint, hexadecimal: 64 bits
DRAWN_BITS = np.uint64(32)  # of a draw: a recording's chance is 1 / their number to the 10th digit
TARGETS = 8  # whose draws are kept at a time: 8 MB each at 500 recordings


def recordings(names: Sequence[str], pattern: str | None) -> tuple[str, ...]:
    """The recording of each image: the first group of `pattern`, else the image's own name."""
    found = [re.search(pattern, name) if pattern else None for name in names]
    return tuple(match[1] if match else name for name, match in zip(names, found, strict=True))


def many(clusters: int, unit: str) -> str:
    """`200 images`, `1 recording`."""
    return f"{clusters} {unit if clusters != 1 else unit.removesuffix('s')}"


def too_few(clusters: int, unit: str = IMAGES, *, fewest: int = FEWEST_CLUSTERS) -> str:
    """Why so many clusters give no interval; empty if they do."""
    return f"{many(clusters, unit)}, fewer than {fewest}" if clusters < fewest else ""


@lru_cache(maxsize=TARGETS)
def _weights(clusters: tuple[str, ...], number: int) -> np.ndarray:
    size = len(clusters)
    generator = np.random.PCG64(int(fingerprint(["bootstrap", *clusters])[:SEED_DIGITS], 16))
    upper = generator.random_raw(number * size) >> DRAWN_BITS
    drawn = (upper * np.uint64(size) >> DRAWN_BITS).astype(np.int64).reshape(number, size)
    places = drawn + size * np.arange(number)[:, None]
    return np.bincount(places.ravel(), minlength=number * size).reshape(number, size).astype(float)


@dataclass(frozen=True)
class Resampling:
    """The draws of one set of images; in whatever order these come, equal recordings give equal draws."""

    recordings: tuple[str, ...]  # one per image
    number: int = REPLICATES

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """Recordings, each once, in order of name."""
        return tuple(sorted(set(self.recordings)))

    @property
    def weights(self) -> np.ndarray:
        """How often each cluster is drawn: (number, clusters), float64; rows sum to their count."""
        return _weights(self.clusters, self.number)

    def totals(self, counts: np.ndarray) -> np.ndarray:
        """Counts of each replicate, (..., number), float64, from whole-numbered ones of the images, (..., N).

        Exact up to 2^53. Raises ValueError unless there is a count per recording.
        """
        if counts.shape[-1] != len(self.recordings):
            raise ValueError(f"{counts.shape[-1]} images, but {len(self.recordings)} recordings")
        place = {name: at for at, name in enumerate(self.clusters)}
        codes = np.array([place[name] for name in self.recordings])
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(self.clusters)))
        sums = np.add.reduceat(counts[..., order], starts, axis=-1).astype(float)
        return (sums.reshape(-1, len(starts)) @ self.weights.T).reshape(*counts.shape[:-1], self.number)


def overlaps(per_image: np.ndarray, *, kept: Sequence[int], rows: Sequence[int]) -> np.ndarray:
    """Pixels of intersection and of union, (2, k, N), of each kept class, from counts (N, K, K) or (N, K, K + 1).

    As `xdseg.evaluation.scores` has them: `kept` are the classes that are scored, `rows` the true classes whose pixels
    are. All that mIoU needs, and a tenth of the confusion.
    """
    kept = list(kept)
    hits = np.diagonal(per_image, axis1=1, axis2=2)[:, kept]
    truth = per_image.sum(axis=2)[:, kept]
    predicted = per_image[:, list(rows)].sum(axis=1)[:, kept]
    return np.stack([hits, truth + predicted - hits]).transpose(0, 2, 1)


def mean_iou(totals: np.ndarray) -> np.ndarray:
    """mIoU (R,), 0..1, of intersections and unions (2, k, R); NaN where no class has a pixel."""
    total, counted = (np.zeros(totals.shape[2]) for _ in range(2))
    for hits, union in zip(*totals, strict=True):
        there = union > 0
        total += np.divide(hits, union, out=np.zeros(len(union)), where=there)
        counted += there
    with np.errstate(invalid="ignore"):  # 0 / 0: no class is counted
        return total / counted


@dataclass(frozen=True)
class Replicates:
    """mIoU of each draw. `values` are fractions 0..1, (R,) float32, NaN where a draw has no pixel to score.

    Too few clusters for an interval have no values.
    """

    clusters: int
    unit: str  # what a cluster is: images or recordings
    images: int
    drawn: str  # digest of images and recordings: equal ones have equal draws, and are paired
    values: np.ndarray = field(compare=False, repr=False)
