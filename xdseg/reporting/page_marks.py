"""Marks of rows that were not made as most of the board: another device, precision, libraries, sources.

What most cells share is the board's usual value; a row bears a mark if one of its cells has another one. Rows that
were entered from predictions say nothing of how they were made, and bear none.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.origin import ENTERED

DEVICE = "D"  # a row with this mark has costs that cannot be held against the others'
UNCOMMITTED, OLDER = "C", "V"
Known = dict[str, str]  # of an environment, by name; what it does not say is left out
COMPARED: dict[str, tuple[str, Callable[[Mapping[str, Any]], Known]]] = {  # mark: what differs, and its values
    DEVICE: ("on another device", lambda made: _one(made, "device")),
    "P": ("in another precision", lambda made: _one(made, "precision")),
    "L": ("with other library versions", lambda made: _libraries(made)),
}
PARTS = re.compile(r"\d+|[a-z]+")  # of a version
LETTERS, END, NUMBER = range(3)  # kinds of parts in their order: `1.0rc1` before `1.0`, and that before `1.0.1`


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
        usual = _usual(known for _, known in values)
        others: dict[str, set[str]] = {}
        differing: dict[str, None] = {}  # names in their order
        for method, known in values:
            for name in (name for name in known if known[name] != usual[name]):
                others.setdefault(method, set()).add(_named(name, known[name]))
                differing[name] = None
        found = {method: f"{words}: {', '.join(sorted(known))}" for method, known in others.items()}
        most = ", ".join(_named(name, usual[name]) for name in differing)
        yield mark, f"made {words} than most cells of this board ({most}), in part or whole", found


def _usual(found: Iterable[Known]) -> Known:
    """By name the value that most of those have that say one; of equally many the first in the alphabet."""
    counts: dict[str, Counter[str]] = {}
    for known in found:
        for name, value in known.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: min(own, key=lambda value, own=own: (-own[value], value)) for name, own in counts.items()}


def _one(made: Mapping[str, Any], key: str) -> Known:
    return {"": made[key]} if made.get(key) else {}


def _libraries(made: Mapping[str, Any]) -> Known:
    """Versions of Python and of libraries; earlier records tell torch and Python alone, and only these are compared."""
    named = {name: made[key] for name, key in (("torch", "torch"), ("Python", "python")) if made.get(key)}
    return named | (made.get("libraries") or {})


def _named(name: str, value: str) -> str:
    return f"{name} {value}".lstrip()


def _uncommitted(cells: Sequence[TableCell]) -> tuple[str, str, dict[str, str]]:
    """Runs from a working copy with changes."""
    found: dict[str, str] = {}
    for cell in cells:
        if (cell.record["environment"] or {}).get("dirty"):
            found[cell.method] = "changes not committed"
    return UNCOMMITTED, "made with changes that were not committed: the commit alone does not give the code", found


def _older(cells: Sequence[TableCell]) -> tuple[str, str, dict[str, str]]:
    """Runs of a part whose newest version on the board is another."""
    by_method: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        for part, version in _versions(cell.record):
            by_method.setdefault(cell.method, {}).setdefault(part, set()).add(version)
    newest: dict[str, str] = {}
    for parts in by_method.values():
        for part, versions in parts.items():
            newest[part] = max(versions | ({newest[part]} if part in newest else set()), key=order)
    found = {}
    for method, parts in by_method.items():
        older = [f"{part} {v}" for part, own in sorted(parts.items()) for v in sorted(own - {newest[part]}, key=order)]
        if older:
            found[method] = f"older version of a part: {', '.join(older)}"
    return OLDER, "made by an older version of a part than the newest on this board", found


def order(version: str) -> list[tuple[int, int, str]]:
    """A key by which versions sort: numbers as numbers, so that 0.9 comes before 0.10; letters before an end."""
    parts = PARTS.findall(version.lower().partition("+")[0])
    return [*((NUMBER, int(p), "") if p.isdigit() else (LETTERS, 0, p) for p in parts), (END, 0, "")]


def _versions(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and version of every part that the record names; versions as texts, however they are written there."""
    yield "XDSeg", str(record["benchmark_version"])
    settings = record.get("settings") or {}
    waiting = [settings.get("segmenter"), *(settings.get("adaptations") or ())]
    while waiting:
        part = waiting.pop() or {}
        if part.get("version") is not None:
            yield part["kind"], str(part["version"])
        waiting += [part["inner"]] if part.get("inner") else []
