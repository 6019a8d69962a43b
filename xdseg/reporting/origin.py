"""Where a record comes from, in words: this workflow, another code's predictions, or another project's pack."""

from collections.abc import Iterable
from typing import Any

ENTERED = "predictions"  # origin of rows that were scored from prediction files of other code
IMPORTED = "imported"  # key of a record that came in a pack: who handed it on, the first first
CAVEAT = "not certified"


def maker(record: dict[str, Any]) -> str:
    """Who an imported record comes from, before all that handed it on; empty if it was made in this project."""
    return record[IMPORTED][0]["origin"] if record.get(IMPORTED) else ""


def imported(record: dict[str, Any] | None) -> str:
    """`imported from A by way of B: not certified`; empty for a record that was made in this project."""
    if not record or not record.get(IMPORTED):
        return ""
    first, *later = (hop["origin"] for hop in record[IMPORTED])
    return f"imported from {' by way of '.join((first, *later))}: {CAVEAT}"


def unmarked(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it was before anybody imported it."""
    return {key: value for key, value in record.items() if key != IMPORTED}


def origin_of(record: dict[str, Any]) -> str:
    """The kind of a record, and in brackets that it was imported."""
    mark = imported(record)
    return f"{record['origin']} ({mark})" if mark else record["origin"]


def is_entered(origin: str) -> bool:
    """Is this the origin, as a table shows it, of a cell that was scored from prediction files?"""
    return origin.partition(" ")[0] == ENTERED


def imported_notes(cells: Iterable[tuple[str, dict[str, Any] | None]]) -> list[tuple[str, str]]:
    """Methods with imported cells and how many, by where these come from; cells are (method, record)."""
    found: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for method, record in cells:
        totals[method] = totals.get(method, 0) + 1
        if mark := imported(record):
            counts = found.setdefault(mark, {})
            counts[method] = counts.get(method, 0) + 1
    return [
        (", ".join(f"{method} ({count} of {totals[method]} cells)" for method, count in counts.items()), mark)
        for mark, counts in sorted(found.items())
    ]
