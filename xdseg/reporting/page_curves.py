"""Learning curves as small charts: one per method and term, a line per run; what adaptations measure likewise."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import ARROW

WIDTH, HEIGHT = 280, 130  # units of a chart's plot
TICKS = 2  # steps between the ends of an axis
PARTS = ("losses", "measures")  # of a curve: loss terms, and what adaptations show besides


@dataclass(frozen=True)
class Line:
    """One run in a chart."""

    name: str
    colour: int
    points: str  # of an SVG polyline
    first: float
    last: float


@dataclass(frozen=True)
class Chart:
    """One loss term of a method's runs."""

    method: str
    term: str
    lines: list[Line]
    ticks: list[tuple[float, str]]  # place from the top, and value
    steps: list[tuple[float, str]]  # place from the left, and step


def charts(cells: Sequence[TableCell]) -> list[Chart]:
    """Charts of the runs behind the cells, each run once, in the cells' order; none for runs without a curve."""
    runs: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for cell in cells:
        curve = cell.record.get("curve") if cell.record else None
        if curve and curve.get("step") and curve.get("losses"):
            key = cell.record["fingerprints"]["train"] or str(cell.key)
            runs.setdefault(key, (_method(cell), _name(cell), curve))
    sources = {name: number for number, name in enumerate(sorted({name for _, name, _ in runs.values()}))}
    made = []
    for method in dict.fromkeys(method for method, _, _ in runs.values()):
        own = [(name, curve) for of, name, curve in runs.values() if of == method]
        terms = dict.fromkeys(term for _, curve in own for part in PARTS for term in sorted(curve.get(part, {})))
        made += [_chart(method, term, own, sources) for term in terms]
    return made


def without_curve(cells: Sequence[TableCell]) -> list[str]:
    """Methods whose runs' records hold no curve."""
    lacking = [
        cell for cell in cells if cell.record and cell.record["origin"] == "run" and not cell.record.get("curve")
    ]
    return list(dict.fromkeys(_method(cell) for cell in lacking))


def _method(cell: TableCell) -> str:
    """Of the run, which may be another method's: the oracle's is its floor's at home."""
    path = (cell.record.get("run") or "").split("/")
    return path[1] if len(path) > 1 else cell.method


def _name(cell: TableCell) -> str:
    """The run's domains and seed, as its folder names them."""
    path = (cell.record.get("run") or "").split("/")
    pair = path[2] if len(path) > 2 else f"{cell.source}--{cell.target}"
    seed = f", seed {cell.seed}" if cell.seed else ""
    return pair.replace("--", f" {ARROW} ") + seed


def _chart(method: str, term: str, runs: list[tuple[str, dict]], colours: dict[str, int]) -> Chart:
    columns = [(name, curve["step"], _columns(curve)) for name, curve in runs]
    own = [(name, steps, found[term]) for name, steps, found in columns if term in found]
    values = [value for _, _, column in own for value in _known(column)] or [0.0]
    last = max(max(steps) for _, steps, _ in own)
    low, high = min(0.0, *values), max(values)
    span = high - low or 1.0
    lines = []
    for name, steps, column in own:
        known = [
            (step, value) for step, value in zip(steps, column, strict=True) if value is not None and isfinite(value)
        ]
        if known:
            places = ((WIDTH * step / last, HEIGHT * (high - value) / span) for step, value in known)
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            lines.append(Line(name, colours[name], points, known[0][1], known[-1][1]))
    ticks = [(HEIGHT * part / TICKS, f"{high - span * part / TICKS:.3g}") for part in range(TICKS + 1)]
    return Chart(
        method, term, lines, ticks, [(WIDTH * part / TICKS, f"{last * part / TICKS:.0f}") for part in (0, 1, 2)]
    )


def _columns(curve: dict[str, Any]) -> dict[str, list]:
    return {name: column for part in PARTS for name, column in curve.get(part, {}).items()}


def _known(column: Iterable[float | None]) -> list[float]:
    return [value for value in column if value is not None and isfinite(value)]
