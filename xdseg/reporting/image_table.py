"""How far the images of each target bear what a board says: a line per test set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from xdseg.reporting.cells_table import NOT_DRAWN, TableCell
from xdseg.reporting.image_gains import ImageGains
from xdseg.reporting.statistics.bootstrap import REPLICATES, many
from xdseg.reporting.statistics.images import ImageInterval
from xdseg.reporting.text import percent

MEANING = (
    f"An interval over images (95 %, bootstrap of {REPLICATES:,} replicates) is the uncertainty of the test set for a "
    "trained network as it is: what other images of this kind would give. It says nothing of other seeds, and nothing "
    "of other domains. Images of one recording are drawn together where the data set tells recordings; where images "
    "are drawn and neighbours are alike, the interval is too narrow. All methods see the same draws, so that the "
    "interval of a gain is that of the paired difference, and usually the narrower one. The columns with ± give half "
    "of the interval's width in points: the median over the target's cells, and over its gains. Every cell's is in "
    "cells.csv and on its card, every gain's in image_gains.csv."
)
BEYOND = (
    "Beyond images counts the pairs on which the interval of the gain over images does not hold 0, for the networks "
    "as trained, at 5 % each and not adjusted for their number."
)
HEADER = ("target", "images", "drawn", "mIoU ±", "gain ±", "without an interval")


@dataclass(frozen=True)
class ImageSet:
    """One target as a page shows it, in the order of `HEADER`; empty where there is nothing to show."""

    target: str
    images: str
    drawn: str  # clusters and what they are
    score: str  # half width in points
    gain: str
    reason: str


def image_sets(cells: Sequence[TableCell], gains: ImageGains) -> list[ImageSet]:
    """The targets of a board by name; none where no cell has replicates."""
    by_target: dict[str, list[TableCell]] = {}
    for cell in cells:
        if cell.record:
            by_target.setdefault(cell.target, []).append(cell)
    drawn = any(cell.drawn for cell in cells)
    return [_line(target, by_target[target], gains) for target in sorted(by_target)] if drawn else []


def _line(target: str, cells: Sequence[TableCell], gains: ImageGains) -> ImageSet:
    intervals = [cell.image_interval for cell in cells if cell.image_interval]
    paired = [gain.interval for gain in gains.values() if gain.pair[1] == target]
    reasons = [found.reason for found in intervals if found.reason]
    reasons += [NOT_DRAWN] * any(cell.drawn is None for cell in cells)
    return ImageSet(
        target=target,
        images=_each(str(cell.record["scores"]["images"]) for cell in cells),
        drawn=_each(many(found.clusters, found.unit) for found in intervals),
        score=_half(intervals),
        gain=_half(paired),
        reason=_each(reasons),
    )


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _half(found: Iterable[ImageInterval]) -> str:
    halves = [interval.half for interval in found if interval.half is not None]
    return percent(median(halves)) if halves else ""
