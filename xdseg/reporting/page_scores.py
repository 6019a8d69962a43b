"""The numbers of a board as its page's script reads them: every cell once, as compact as JSON allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from xdseg.reporting.cells_table import TableCell, by_method
from xdseg.reporting.gains import Gain
from xdseg.reporting.leaderboard import Row, board_pairs
from xdseg.reporting.page_costs import Cost

MILLION = 1_000_000  # scores are whole millionths: means of them are right to the hundredth of a point

Pair = tuple[str, str]


def page_pairs(cells: Sequence[TableCell]) -> list[Pair]:
    """The pairs of the board, then those that only entered rows have."""
    return list(dict.fromkeys((*board_pairs(cells), *sorted({cell.pair for cell in cells}))))


def values(rows: Sequence[Row], cells: Sequence[TableCell], classes: Sequence[str]) -> list[list[list[list]]]:
    """By row, pair and seed: [seed, mIoU, IoU of each class] in millionths, null where there is none.

    A cell without a record is [seed] alone.
    """
    pairs, own = page_pairs(cells), by_method(cells)
    found = []
    for row in rows:
        by_pair: dict[Pair, list[list]] = {pair: [] for pair in pairs}
        for cell in own[row.method]:
            by_pair[cell.pair].append(_cell(cell, classes))
        found.append(list(by_pair.values()))
    return found


def _cell(cell: TableCell, classes: Sequence[str]) -> list[int | None]:
    scores = [_whole(cell.miou), *(_whole(cell.iou(name)) for name in classes)] if cell.record else []
    return [cell.seed, *scores]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(MILLION * value)


def methods(
    rows: Sequence[Row],
    found: Mapping[str, Gain],
    costs: Sequence[Cost],
    *,
    facets: Mapping[str, Mapping[str, tuple[str, ...]]],
    colours: Mapping[str, int],
    elsewhere: Mapping[str, str],
) -> list[dict[str, Any]]:
    """What the script knows of each row; `elsewhere` says of some on which other devices they ran."""
    places = {row.method: place for place, row in enumerate(rows)}
    numbers = {cost.method: cost.numbers for cost in costs}
    return [
        {
            "name": row.method,
            "setting": row.setting,
            "peer": places[found[row.method].against] if row.method in found else None,
            "colour": colours[row.method],
            "miou": _whole(row.miou),
            "facets": facets[row.method],
            "text": " ".join((row.method, *(word for part in facets[row.method].values() for word in part))).lower(),
            "costs": numbers.get(row.method, {}) | {"parameters": row.parameters},
            "elsewhere": elsewhere.get(row.method, ""),
        }
        for row in rows
    ]
