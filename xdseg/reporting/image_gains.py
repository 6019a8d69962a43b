"""What a method has over the row that it names on one target's images, from replicates that both share.

Draws are the same for all methods on one set of images, so that the difference of two methods' replicates is a
replicate of their difference; over seeds the mean of both is taken first. Equal predictions differ by exactly 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xdseg.reporting.cells_table import NOT_DRAWN, TableCell
from xdseg.reporting.gains import Gain, Pair
from xdseg.reporting.statistics.images import IMAGES, ImageInterval, no_interval, over_images
from xdseg.reporting.text import csv_text, points

COLUMNS = (
    *("method", "against", "role", "source", "target", "seeds", "gain"),
    *("image_low", "image_high", "image_interval", "images"),
)
OTHER_IMAGES = "the two were scored on other images"


@dataclass(frozen=True)
class ImageGain:
    """A method on one pair. Values are differences of fractions 0..1."""

    method: str
    against: str
    role: str
    pair: Pair
    seeds: tuple[int, ...]  # that both rows have
    gain: float  # mean over these
    interval: ImageInterval
    images: int | None  # of the target; None if no replicates were made


ImageGains = Mapping[tuple[str, Pair], ImageGain]  # by method and pair


def image_gains(found: Mapping[str, Gain], cells: Sequence[TableCell]) -> dict[tuple[str, Pair], ImageGain]:
    """Of every gain of the board and every pair on which it has a value; nothing where no cell has replicates."""
    if not any(cell.drawn for cell in cells):
        return {}
    by_key = {cell.key: cell for cell in cells}
    return {
        (method, pair): _on_pair(method, gain, pair, by_key)
        for method, gain in found.items()
        for pair, value in gain.by_pair.items()
        if value is not None
    }


def _on_pair(method: str, gain: Gain, pair: Pair, by_key: Mapping[tuple, TableCell]) -> ImageGain:
    seeds = tuple(gain.by_seed[pair])
    own, other = ([by_key[name, *pair, seed] for seed in seeds] for name in (method, gain.against))
    drawn = next((cell.drawn for cell in own if cell.drawn), None)
    about = method, gain.against, gain.role, pair, seeds, gain.by_pair[pair]
    return ImageGain(*about, difference(own, other), drawn.images if drawn else None)


def difference(own: Sequence[TableCell], other: Sequence[TableCell]) -> ImageInterval:
    """Interval over images of the mean of some cells less that of others, all on one set of images."""
    sets = [cell.drawn for cell in (*own, *other)]
    if None in sets:
        return no_interval(0, IMAGES, NOT_DRAWN)
    first = sets[0]
    if len({drawn.drawn for drawn in sets}) > 1:
        return no_interval(first.clusters, first.unit, OTHER_IMAGES)
    replicates = _mean(own) - _mean(other)
    return over_images(replicates, first.clusters, unit=first.unit)


def _mean(cells: Sequence[TableCell]) -> np.ndarray:
    """Over seeds, in their order; float64."""
    return np.mean([cell.drawn.values for cell in cells], axis=0, dtype=float)


def image_gains_csv(found: ImageGains) -> str:
    """One line per method and pair, in points of mIoU; the header alone if no replicates were made."""
    return csv_text(COLUMNS, map(_line, found.values()))


def _line(gain: ImageGain) -> list[object]:
    interval = gain.interval
    return [
        *(gain.method, gain.against, gain.role, *gain.pair),
        " ".join(map(str, gain.seeds)),
        *map(points, (gain.gain, interval.low, interval.high)),
        interval.told or f"none: {interval.reason}",
        gain.images,
    ]


def over_images_json(cells: Sequence[TableCell], found: ImageGains) -> dict[str, dict[str, Any]]:
    """By method, for JSON: of each pair the interval of every seed, and of the gain; [low, high] in points, or null."""
    said: dict[str, dict[str, Any]] = {}
    for cell in cells:
        if cell.drawn:
            own = said.setdefault(cell.method, {"image_intervals": {}, "image_gains": {}})
            own["image_intervals"].setdefault(_named(cell.pair), {})[str(cell.seed)] = _ends(cell.image_interval)
    for (method, pair), gain in found.items():
        if method in said:
            said[method]["image_gains"][_named(pair)] = _ends(gain.interval)
    return said


def _named(pair: Pair) -> str:
    return "->".join(pair)


def _ends(interval: ImageInterval) -> list[float] | None:
    return None if interval.reason else [float(points(end)) for end in (interval.low, interval.high)]


def beyond_images(found: ImageGains) -> dict[str, str]:
    """By method: pairs on which its gain, or loss, is beyond the noise of the images, of those with an interval."""
    signs: dict[str, list[int]] = {}
    for gain in found.values():
        if not gain.interval.reason:
            signs.setdefault(gain.method, []).append(gain.interval.sign)
    return {method: f"{own.count(1)} up, {own.count(-1)} down of {len(own)}" for method, own in signs.items()}
