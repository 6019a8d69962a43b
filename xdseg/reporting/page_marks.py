"""Marks of rows that were not made as most of the board: another device, precision, libraries, sources.

What most cells share is the board's usual value; a row bears a mark if one of its cells has another one. Rows that
were entered from predictions say nothing of how they were made, and bear none.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.leaderboard import ENTERED

DEVICE = "D"  # a row with this mark has costs that cannot be held against the others'
UNCOMMITTED, OLDER = "C", "V"
COMPARED: dict[str, tuple[str, Callable[[Mapping[str, Any]], str | None]]] = {  # mark: what differs, and its value
    DEVICE: ("on another device", lambda made: made.get("device")),
    "P": ("in another precision", lambda made: made.get("precision")),
    "L": ("with other library versions", lambda made: _libraries(made)),
}


@dataclass(frozen=True)
class Marks:
    """By method its marks with what each says, and the legend of those that occur."""

    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    legend: Sequence[tuple[str, str]] = ()

    def of(self, method: str) -> Mapping[str, str]:
        """Mark: what it says of this row."""
        return self.rows.get(method, {})


def marks(cells: Sequence[TableCell]) -> Marks:
    """The marks of a board's rows."""
    made = [cell for cell in cells if cell.record and cell.record["origin"] != ENTERED]
    rows: dict[str, dict[str, str]] = {}
    legend: list[tuple[str, str]] = []
    for mark, text, found in (*_unusual(made), _uncommitted(made), _older(made)):
        if found:
            legend.append((mark, text))
        for method, said in found.items():
            rows.setdefault(method, {})[mark] = said
    return Marks(rows, legend)


def _unusual(cells: Sequence[TableCell]) -> Iterator[tuple[str, str, dict[str, str]]]:
    for mark, (words, value) in COMPARED.items():
        values = [(cell.method, value(cell.record["environment"] or {})) for cell in cells]
        counts = Counter(known for _, known in values if known)
        if not counts:
            continue
        usual = min(counts, key=lambda known: (-counts[known], known))
        others: dict[str, set[str]] = {}
        for method, known in values:
            if known and known != usual:
                others.setdefault(method, set()).add(known)
        found = {method: f"{words}: {', '.join(sorted(known))}" for method, known in others.items()}
        yield mark, f"made {words} than most cells of this board ({usual}), in part or whole", found


def _libraries(made: Mapping[str, Any]) -> str | None:
    named = [f"{name} {made[key]}" for name, key in (("torch", "torch"), ("Python", "python")) if made.get(key)]
    return ", ".join(named) or None


def _uncommitted(cells: Sequence[TableCell]) -> tuple[str, str, dict[str, str]]:
    """Runs from a working copy with changes."""
    found: dict[str, str] = {}
    for cell in cells:
        if (cell.record["environment"] or {}).get("dirty"):
            found[cell.method] = "changes not committed"
    return UNCOMMITTED, "made with changes that were not committed: the commit alone does not give the code", found


def _older(cells: Sequence[TableCell]) -> tuple[str, str, dict[str, str]]:
    """Runs of a part whose newest version on the board is another."""
    by_method: dict[str, dict[str, set[int | str]]] = {}
    for cell in cells:
        for part, version in _versions(cell.record):
            by_method.setdefault(cell.method, {}).setdefault(part, set()).add(version)
    newest: dict[str, int | str] = {}
    for parts in by_method.values():
        for part, versions in parts.items():
            newest[part] = max(versions | {newest.get(part, max(versions))})
    found = {}
    for method, parts in by_method.items():
        if older := [f"{part} {v}" for part, own in sorted(parts.items()) for v in sorted(own - {newest[part]})]:
            found[method] = f"older version of a part: {', '.join(older)}"
    return OLDER, "made by an older version of a part than the newest on this board", found


def _versions(record: Mapping[str, Any]) -> Iterator[tuple[str, int | str]]:
    """Name and version of every part that the record names."""
    yield "XDSeg", str(record["benchmark_version"])
    settings = record.get("settings") or {}
    waiting = [settings.get("segmenter"), *(settings.get("adaptations") or ())]
    while waiting:
        part = waiting.pop() or {}
        if part.get("version") is not None:
            yield part["kind"], part["version"]
        waiting += [part["inner"]] if part.get("inner") else []
