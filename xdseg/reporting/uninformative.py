"""Rows whose map of transferability says nothing: its discriminator knows the domain everywhere, or nowhere.

A discriminator that is nearly always right gives every region the same low transferability, one at chance the same high
one; either way what is left of the map is its uncertainty. Read from the curve that a record keeps.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import ARROW

MEASURE = "tmt/accuracy"  # of the region discriminator, in a record's curve
LEAST, MOST = 0.52, 0.95  # within which its map can tell regions apart
END = 4  # the last quarter of a run's points counts, as accuracy varies from batch to batch


def accuracy(record: dict[str, Any]) -> float | None:
    """Mean accuracy of the region discriminator at the end of a run; None where there is none."""
    column = ((record.get("curve") or {}).get("measures") or {}).get(MEASURE)
    return fmean(column[-max(1, len(column) // END) :]) if column else None


def map_warnings(cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    """A line per method that has such maps: on which pairs, and how often the discriminator was right."""
    found: dict[str, list[str]] = {}
    known: dict[str, int] = {}
    for cell in cells:
        value = accuracy(cell.record) if cell.record else None
        if value is None:
            continue
        known[cell.method] = known.get(cell.method, 0) + 1
        if not LEAST <= value <= MOST:
            seed = f", seed {cell.seed}" if cell.seed else ""
            found.setdefault(cell.method, []).append(f"{cell.source} {ARROW} {cell.target}{seed} ({value:.2f})")
    return [(method, _told(places, known[method])) for method, places in found.items()]


def _told(places: list[str], of: int) -> str:
    return (
        f"the map of transferability is uninformative on {len(places)} of {of} cells, as the region discriminator's "
        f"accuracy at the end of training is above {MOST} or below {LEAST}: {', '.join(places)}"
    )
