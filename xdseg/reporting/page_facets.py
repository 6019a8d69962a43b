"""What rows are told apart by: setting, segmenter, tuning, adaptation, pre-training, origin, import."""

from collections.abc import Mapping, Sequence
from typing import Any

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.origin import maker

LABELS = {  # in the order of the page
    "setting": "setting",
    "kind": "family",
    "segmenter": "segmenter",
    "tuning": "tuning",
    "adaptation": "adaptation",
    "pretraining": "starts from",
    "reconstruction": "reconstruction",
    "origin": "made by",
    "imported": "imported from",
}
UNKNOWN = ("not known",)
ENTERED, RUN = "entered from predictions", "this workflow"
HERE = "nowhere: made here"
PLAIN = {"origin": [(RUN,)], "imported": [(HERE,)]}  # what a reader takes for granted
FEWEST = 2  # values, with which a facet can tell rows apart


def facets(row: Row, cells: Sequence[TableCell], about: About) -> dict[str, tuple[str, ...]]:
    """The values of one row, by facet; `cells` are its own. Where no settings say it, the records do."""
    traits = about.traits.get(row.method) or _of_records(cells)
    known = {"setting": (row.setting,), "origin": (ENTERED if row.entered else RUN,), "imported": _brought(cells)}
    return {name: known.get(name) or tuple(traits.get(name) or UNKNOWN) for name in LABELS}


def _brought(cells: Sequence[TableCell]) -> tuple[str, ...]:
    """Who handed the row's records on, each once; a row may be imported in part."""
    found = {maker(cell.record) or HERE for cell in cells if cell.record}
    return tuple(sorted(found, key=lambda who: (who == HERE, who)))


def _of_records(cells: Sequence[TableCell]) -> Mapping[str, tuple[str, ...]]:
    """What the first record says of segmenter and adaptations; nothing if none does."""
    settings: dict[str, Any] = next((c.record["settings"] for c in cells if c.record and c.record.get("settings")), {})
    segmenter = settings.get("segmenter") or {}
    if not segmenter.get("kind"):
        return {}
    adaptations = tuple(dict.fromkeys(part["kind"] for part in settings.get("adaptations") or ()))
    return {"kind": (segmenter["kind"],), "adaptation": adaptations or ("none",)}


def choices(rows: Sequence[Mapping[str, tuple[str, ...]]]) -> list[tuple[str, str, list[str]]]:
    """Name, label and values of every facet that tells some of the rows apart."""
    found = []
    for name, label in LABELS.items():
        values = sorted({value for row in rows for value in row[name]})
        if len(values) >= FEWEST:
            found.append((name, label, values))
    return found


def common(rows: Sequence[Mapping[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    """Label and values of every facet in which all rows are alike, as far as known and not taken for granted."""
    found = []
    for name, label in LABELS.items():
        alike = {row[name] for row in rows}
        if len(alike) == 1 and not alike & {UNKNOWN, *PLAIN.get(name, ())}:
            found.append((label, ", ".join(alike.pop())))
    return found
