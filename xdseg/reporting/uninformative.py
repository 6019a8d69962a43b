"""Rows whose map of need says nothing: its discriminator knows the domain everywhere or nowhere, or places look alike.

A discriminator that is nearly always right gives every region the same low transferability, one at chance the same high
one. Either way, and wherever its answers hardly differ, what is left of the map is its uncertainty. Where the need
hardly differs from place to place, noise leads attention. All are read from the curve that a record keeps.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import ARROW

# In a curve: of the region discriminator; deviation of T over an image's regions, and of the need over its places.
ACCURACY, SPREAD, CONTRAST = "tmt/accuracy", "tmt/spread", "tmt/contrast"
LEAST, MOST = 0.52, 0.95  # accuracies within which its map can tell regions apart
FLAT = 0.01  # deviation of a map in [0, 1] below which it is noise
END = 4  # the last quarter of a run's points counts, as measures vary from batch to batch


def at_the_end(record: dict[str, Any], measure: str) -> float | None:
    """Mean of a measure at the end of a run; None where there is none."""
    column = ((record.get("curve") or {}).get("measures") or {}).get(measure)
    return fmean(column[-max(1, len(column) // END) :]) if column else None


def map_warnings(cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    """Lines, each with its method, about such maps: on which pairs, and by which number."""
    blind = (
        f"the map of transferability is uninformative on {{}} of {{}} cells, as the region discriminator's accuracy at "
        f"the end of training is above {MOST} or below {LEAST}: {{}}"
    )
    flat = (
        f"the map of need hardly differs from place to place on {{}} of {{}} cells, its deviation at the end of "
        f"training being below {FLAT}: {{}}"
    )
    even = (
        f"transferability hardly differs from region to region on {{}} of {{}} cells, its deviation at the end of "
        f"training being below {FLAT}, so that the need is uncertainty alone: {{}}"
    )
    found = _warnings(cells, ACCURACY, blind, lambda value: LEAST <= value <= MOST, "{:.2f}")
    found += _warnings(cells, SPREAD, even, lambda value: value >= FLAT, "{:.1g}")
    return found + _warnings(cells, CONTRAST, flat, lambda value: value >= FLAT, "{:.1g}")


def _warnings(
    cells: Sequence[TableCell], measure: str, line: str, good: Callable[[float], bool], shown: str
) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    known: dict[str, int] = {}
    for cell in cells:
        value = at_the_end(cell.record, measure) if cell.record else None
        if value is None:
            continue
        known[cell.method] = known.get(cell.method, 0) + 1
        if not good(value):
            seed = f", seed {cell.seed}" if cell.seed else ""
            place = f"{cell.source} {ARROW} {cell.target}{seed} ({shown.format(value)})"
            found.setdefault(cell.method, []).append(place)
    return [(method, line.format(len(places), known[method], ", ".join(places))) for method, places in found.items()]
