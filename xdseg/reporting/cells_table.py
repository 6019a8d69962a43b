"""The cells of a board: what the grid wants beside what has been scored, and their table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from xdseg.canonical import short
from xdseg.errors import BadInput
from xdseg.reporting.origin import origin_of
from xdseg.reporting.statistics.bootstrap import Replicates
from xdseg.reporting.statistics.images import ImageInterval, over_images
from xdseg.reporting.text import csv_text, percent, points

IDENTITY = ("method", "setting", "source", "target", "seed")
NOT_DRAWN = "no per-image confusion"
IMAGE_INTERVAL = ("image_low", "image_high", "image_interval")
PROVENANCE = ("images", "origin", "run", "predict", "score", "protocol", "benchmark_version")


@dataclass(frozen=True)
class TableCell:
    """One cell of the board. `record` is None where it was wanted and is missing."""

    method: str
    setting: str
    source: str  # domains joined by +
    target: str
    seed: int
    expected: bool  # does the grid want it? False for a row entered from predictions
    record: dict[str, Any] | None
    drawn: Replicates | None = field(default=None, compare=False, repr=False)  # of its mIoU; None if none were made

    @property
    def pair(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes a cell one: method, source, target, seed."""
        return self.method, self.source, self.target, self.seed

    @property
    def miou(self) -> float | None:
        """Fraction 0..1; None if the cell is missing or nothing could be scored."""
        return self.record["scores"]["miou"] if self.record else None

    def iou(self, name: str) -> float | None:
        """IoU of a class, 0..1; None if it is not scored, in neither truth nor prediction, or the cell is missing."""
        return self.record["scores"]["iou"].get(name) if self.record else None

    @cached_property
    def image_interval(self) -> ImageInterval | None:
        """95 % interval of the mIoU over images: what others like these would give this trained network."""
        return over_images(self.drawn.values, self.drawn.clusters, unit=self.drawn.unit) if self.drawn else None

    @property
    def mean_dice(self) -> float | None:
        """Mean over regions of the Dice pooled over the split, 0..1; None as for `dice`."""
        return self.record["scores"].get("mean_dice") if self.record else None

    def dice(self, region: str, *, per_image: bool = False) -> float | None:
        """Dice of a region, 0..1; None if it is not scored, in neither truth nor prediction, or the cell is missing."""
        key = "dice_per_image" if per_image else "dice"
        return self.record["scores"].get(key, {}).get(region) if self.record else None


def collect(
    expected: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
    *,
    suite: str,
    classes: tuple[str, ...],
    drawn: Mapping[tuple, Replicates | None] | None = None,
) -> list[TableCell]:
    """All cells of a board: methods as the grid names them, entered ones by name; then source, target, seed.

    `drawn` are replicates by the cell's key. The order of `records` does not matter. Raises BadInput if there is no
    cell, if a record is of another suite or other classes, or if two stand for one cell.
    """
    found: dict[tuple, TableCell] = {}
    for record in records:
        cell = _of_record(record, suite, classes)
        if cell.key in found:
            raise BadInput(f"{_named(cell)}: two records stand for this cell; remove one")
        found[cell.key] = replace(cell, drawn=(drawn or {}).get(cell.key))
    cells: dict[tuple, TableCell] = {}
    for wanted in expected:
        cell = TableCell(**{name: wanted[name] for name in IDENTITY}, expected=True, record=None)
        scored = found.pop(cell.key, None)
        cells[cell.key] = replace(cell, record=scored.record, drawn=scored.drawn) if scored else cell
    if not cells | found:
        raise BadInput(f"{suite}: no cell to show; widen the grid")
    position = {method: number for number, method in enumerate(dict.fromkeys(cell.method for cell in cells.values()))}
    return sorted((cells | found).values(), key=lambda cell: (position.get(cell.method, len(position)), *cell.key))


def _of_record(record: dict[str, Any], suite: str, classes: tuple[str, ...]) -> TableCell:
    identity = {name: record[name] for name in IDENTITY} | {"source": "+".join(sorted(record["source"]))}
    cell = TableCell(**identity, expected=False, record=record)
    if record["suite"] != suite:
        raise BadInput(f"{_named(cell)}: its record is of suite {record['suite']!r}, the board of {suite!r}")
    if tuple(record["classes"]) != tuple(classes):
        raise BadInput(f"{_named(cell)}: its record has other classes than suite {suite!r}; score it again")
    return cell


def _named(cell: TableCell) -> str:
    return f"{cell.method} {cell.source}->{cell.target} seed {cell.seed}"


def by_method(cells: Sequence[TableCell]) -> dict[str, list[TableCell]]:
    """The cells of each method, both in their order."""
    found: dict[str, list[TableCell]] = {}
    for cell in cells:
        found.setdefault(cell.method, []).append(cell)
    return found


def dice_regions(cells: Sequence[TableCell]) -> tuple[str, ...]:
    """The regions that some cell has a Dice of, in the order of the first that names each."""
    return tuple(dict.fromkeys(name for cell in cells if cell.record for name in cell.record["scores"].get("dice", ())))


def cells_csv(cells: Sequence[TableCell], classes: tuple[str, ...]) -> str:
    """One line per cell, scores in percent. Nothing in it changes when the same cells are made again.

    There are columns of Dice, and of the interval over images, if some cell has one. The interval's last column says
    how it was found, or why there is none.
    """
    regions = dice_regions(cells)
    dice = [f"{kind}_{name}" for kind in ("dice", "dice_per_image") for name in regions]
    scores = ("miou", "pixel_accuracy", *(f"iou_{name}" for name in classes), *(["mean_dice", *dice] if dice else []))
    images = IMAGE_INTERVAL if any(cell.drawn for cell in cells) else ()
    header = (*IDENTITY, "status", *scores, *images, *PROVENANCE)
    blanks = len(scores) + len(images) + len(PROVENANCE)
    return csv_text(header, (_line(cell, classes, regions, images=bool(images), blanks=blanks) for cell in cells))


def _line(
    cell: TableCell, classes: tuple[str, ...], regions: tuple[str, ...], *, images: bool, blanks: int
) -> list[object]:
    identity = [getattr(cell, name) for name in IDENTITY]
    if cell.record is None:
        return [*identity, "missing", *[""] * blanks]
    scores, record = cell.record["scores"], cell.record
    prints = [short(record["fingerprints"][stage] or "") for stage in ("train", "predict", "score")]
    dice = [cell.dice(name, per_image=per_image) for per_image in (False, True) for name in regions]
    iou = [scores["miou"], scores["pixel_accuracy"], *map(cell.iou, classes)]
    shown = [*iou, cell.mean_dice, *dice] if dice else iou
    made = [scores["images"], origin_of(record), *prints, record["protocol"]["name"], record["benchmark_version"]]
    return [*identity, "ok", *map(percent, shown), *(interval_texts(cell.image_interval) if images else ()), *made]


def interval_texts(found: ImageInterval | None) -> list[str]:
    """Low, high, and the kind of an interval over images, or why there is none."""
    if found is None:
        return ["", "", f"none: {NOT_DRAWN}"]
    return [points(found.low), points(found.high), found.told or f"none: {found.reason}"]
