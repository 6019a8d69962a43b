"""The leaderboard: one row per method, over the same pairs for all."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from xdseg.reporting.cells_table import TableCell, dice_regions
from xdseg.reporting.origin import CAVEAT, ENTERED, imported
from xdseg.reporting.seeds import HYPHEN, scored_seeds, span, spread
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.text import csv_text, fixed, percent, points

MILLION = 1e6


@dataclass(frozen=True)
class Row:
    """One method. Values are fractions 0..1; None where a cell has none."""

    method: str
    setting: str
    origin: str
    by_pair: dict[tuple[str, str], float | None]  # every pair of the board: mean over its seeds
    miou: float | None  # unweighted mean over all pairs of the board; None unless each has a value
    last_class: float | None  # the same mean, of the IoU of the suite's last class
    seeds: dict[tuple[str, str], int]  # every pair of the board: how many seeds have a value
    parameters: int | None
    mean_dice: float | None = None  # means as of mIoU, of the Dice pooled over a split
    dice: dict[str, float | None] = field(default_factory=dict)  # by region; equal keys in all rows of a board
    imported: str = ""  # how many of its cells came in a pack, as `3 of 6`; empty if none did
    spread: Estimate | None = None  # of miou over the seeds; on boards of one pair alone

    @property
    def scored(self) -> str:
        """Pairs with a value of all pairs, as 3/20."""
        return f"{sum(value is not None for value in self.by_pair.values())}/{len(self.by_pair)}"

    @property
    def told_seeds(self) -> str:
        """Fewest and most seeds of its pairs, as 1–3."""
        return span(self.seeds.values())

    @property
    def entered(self) -> bool:
        """Was it scored from prediction files of other code?"""
        return self.origin == ENTERED

    @property
    def told_origin(self) -> str:
        """The origin as tables show it."""
        return f"{self.origin} ({self.imported} cells imported: {CAVEAT})" if self.imported else self.origin


def rank(cells: Sequence[TableCell], classes: tuple[str, ...]) -> list[Row]:
    """Rows by mean mIoU, highest first; those that lack a value on any pair of the board come last, by name.

    A mean over other pairs than its neighbours' would not be comparable, so an incomplete row has none.
    """
    pairs = board_pairs(cells)
    methods = dict.fromkeys(cell.method for cell in cells)
    regions = dice_regions(cells)
    rows = [_row([cell for cell in cells if cell.method == method], pairs, classes, regions) for method in methods]
    return sorted(rows, key=lambda row: (row.miou is None, -(row.miou or 0), row.method))


def board_pairs(cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    """The pairs that the grid wants, by target then source; those of the entered rows if it wants none."""
    wanted = {cell.pair for cell in cells if cell.expected} or {cell.pair for cell in cells}
    return sorted(wanted, key=lambda pair: (pair[1], pair[0]))


def _row(
    cells: list[TableCell], pairs: list[tuple[str, str]], classes: tuple[str, ...], regions: tuple[str, ...]
) -> Row:
    records = [cell.record for cell in cells if cell.record]
    by_pair = _over_seeds(cells, pairs, lambda cell: cell.miou)

    brought = sum(bool(imported(record)) for record in records)

    def over_pairs(value: Callable[[TableCell], float | None]) -> float | None:
        return mean(_over_seeds(cells, pairs, value).values())

    return Row(
        method=cells[0].method,
        setting=cells[0].setting,
        origin=records[0]["origin"] if records else "run",
        by_pair=by_pair,
        miou=mean(by_pair.values()),
        last_class=over_pairs(lambda cell: cell.iou(classes[-1])),
        seeds=scored_seeds(cells, pairs),
        parameters=next((record["model"]["parameters"] for record in records if record["model"]), None),
        mean_dice=over_pairs(lambda cell: cell.mean_dice) if regions else None,
        dice={name: over_pairs(lambda cell, name=name: cell.dice(name)) for name in regions},
        imported=f"{brought} of {len(records)}" if brought else "",
        spread=spread(cells, pairs),
    )


def _over_seeds(
    cells: list[TableCell], pairs: list[tuple[str, str]], value: Callable[[TableCell], float | None]
) -> dict[tuple[str, str], float | None]:
    return {pair: mean(value(cell) for cell in cells if cell.pair == pair) for pair in pairs}


def mean(values: Iterable[float | None]) -> float | None:
    """The mean, or None if there is no value or one of them is None. The order of the values does not matter."""
    values = list(values)
    return fsum(values) / len(values) if values and None not in values else None


def leaderboard_csv(rows: Sequence[Row], classes: tuple[str, ...]) -> str:
    """The rows in their order; of two classes, the last one's IoU has a column, as the first hides it in the mean.

    There are columns of Dice if some cell of the board has one, and of the interval over seeds if some row has one.
    """
    last, ends = last_class(classes), ["miou_low", "miou_high"] if with_spread(rows) else []
    shown = [*([f"iou_{last}"] if last else []), *dice_names(rows, average="mean_dice", region="dice_{}")]
    header = ["method", "setting", "miou", *ends, *shown, "pairs", "seeds", "parameters_millions", "origin"]
    lines = []
    for row in rows:
        interval = [points(end) for end in _ends(row) or (None, None)] if ends else []
        values = [percent(row.miou), *interval, *([percent(row.last_class)] if last else []), *dice_texts(row)]
        about = [row.scored, span(row.seeds.values(), HYPHEN), millions(row.parameters), row.told_origin]
        lines.append([row.method, row.setting, *values, *about])
    return csv_text(header, lines)


def with_spread(rows: Sequence[Row]) -> bool:
    """Has some row an interval over its seeds? Then tables have a column for it."""
    return any(_ends(row) for row in rows)


def _ends(row: Row) -> tuple[float, float] | None:
    return row.spread.interval if row.spread else None


def dice_names(rows: Sequence[Row], *, average: str, region: str) -> list[str]:
    """Names of the columns of Dice: `average`, then `region` with each region's name in it; none without regions."""
    regions = rows[0].dice if rows else {}
    return [average, *map(region.format, regions)] if regions else []


def dice_texts(row: Row) -> list[str]:
    """A row's values in the columns of Dice, in percent."""
    return [percent(value) for value in (row.mean_dice, *row.dice.values())] if row.dice else []


def last_class(classes: tuple[str, ...]) -> str | None:
    """Name of the class whose IoU is shown beside the mean: the last of two."""
    return classes[-1] if len(classes) == 2 else None


def millions(parameters: int | None) -> str:
    """Parameters in millions with two decimals."""
    return fixed(None if parameters is None else parameters / MILLION)


def leaderboard_json(
    rows: Sequence[Row], classes: tuple[str, ...], *, over_images: Mapping[str, dict[str, Any]] | None = None
) -> str:
    """The rows by method, with every pair: percentages with two decimals, or null.

    `over_images` is what else is said of some methods, ready for JSON.
    """
    spreads = with_spread(rows)
    contents = {row.method: _nested(row, last_class(classes), spreads=spreads) for row in rows}
    for method, said in (over_images or {}).items():
        contents[method] |= said
    return json.dumps(contents, indent=1, sort_keys=True, allow_nan=False) + "\n"


def metrics_json(rows: Sequence[Row]) -> str:
    """One number per method, its mean mIoU in percent or null: as little as `dvc metrics diff` shows well."""
    contents = {row.method: _number(percent(row.miou)) for row in rows}
    return json.dumps(contents, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _nested(row: Row, last: str | None, *, spreads: bool) -> dict[str, Any]:
    interval = [float(points(end)) for end in _ends(row) or ()] or None
    dice = {name: _number(percent(value)) for name, value in row.dice.items()}
    return (
        {
            "setting": row.setting,
            "origin": row.told_origin,
            "miou": _number(percent(row.miou)),
            "pairs": {
                f"{source}->{target}": _number(percent(value)) for (source, target), value in row.by_pair.items()
            },
            "scored": row.scored,
            "seeds": span(row.seeds.values(), HYPHEN),
            "seeds_by_pair": {"->".join(pair): count for pair, count in row.seeds.items()},
            "parameters_millions": _number(millions(row.parameters)),
        }
        | ({"miou_interval": interval} if spreads else {})
        | ({f"iou_{last}": _number(percent(row.last_class))} if last else {})
        | ({"mean_dice": _number(percent(row.mean_dice)), "dice": dice} if dice else {})
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
