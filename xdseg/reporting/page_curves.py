"""Learning curves as small charts: one per method and term, a line per run; what adaptations measure likewise."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import ARROW

WIDTH, HEIGHT = 280, 130  # units of a chart's plot
TICKS = 2  # steps between the ends of an axis
PARTS = ("losses", "measures")  # of a curve: loss terms, and what adaptations show besides
STILL = 1e-6  # a term that never leaves 0 by more is named, not drawn
EXPONENT = re.compile(r"e\+?(-?)0*")  # of a number: its sign alone, and no zeros before it
ROOM = 6  # characters of a number beside an axis; a longer one is written with an exponent


@dataclass(frozen=True)
class Line:
    """One run in a chart."""

    name: str
    colour: int  # its number among the runs of the method
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


@dataclass(frozen=True)
class Learning:
    """The charts of one method's runs."""

    method: str
    charts: list[Chart]
    runs: list[str]  # names of the runs, by their lines' colours
    still: list[str]  # terms without a chart, as they stay at 0


def learning(cells: Sequence[TableCell]) -> list[Learning]:
    """Charts of the runs behind the cells, each run once, by method in the cells' order; none without a curve."""
    runs: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}
    for cell in cells:
        curve = cell.record.get("curve") if cell.record else None
        if curve and curve.get("step") and curve.get("losses"):
            key = cell.record["fingerprints"]["train"] or str(cell.key)
            runs.setdefault(_method(cell), {}).setdefault(key, (_name(cell), curve))
    return [_learning(method, list(own.values())) for method, own in runs.items()]


def _learning(method: str, runs: list[tuple[str, dict[str, Any]]]) -> Learning:
    colours = {name: number for number, name in enumerate(sorted({name for name, _ in runs}))}
    terms = dict.fromkeys(term for _, curve in runs for part in PARTS for term in sorted(curve.get(part, {})))
    still = [term for term in terms if _stays(term, runs)]
    drawn = [_chart(method, term, runs, colours) for term in terms if term not in still]
    return Learning(method, drawn, list(colours), still)


def _stays(term: str, runs: list[tuple[str, dict[str, Any]]]) -> bool:
    """Is it 0 all the time, in every run?"""
    return all(abs(value) < STILL for _, curve in runs for value in _known(_columns(curve).get(term, ())))


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
    ticks = [(HEIGHT * part / TICKS, _number(high - span * part / TICKS)) for part in range(TICKS + 1)]
    return Chart(
        method, term, lines, ticks, [(WIDTH * part / TICKS, f"{last * part / TICKS:.0f}") for part in (0, 1, 2)]
    )


def _number(value: float) -> str:
    """Three digits, and not wider than an axis has room for."""
    text = f"{value:.0f}" if 1000 <= abs(value) < 100_000 else f"{value:.3g}"
    return text if len(text) <= ROOM and "e" not in text else EXPONENT.sub(r"e\1", f"{value:.1e}")


def _columns(curve: dict[str, Any]) -> dict[str, list]:
    return {name: column for part in PARTS for name, column in curve.get(part, {}).items()}


def _known(column: Iterable[float | None]) -> list[float]:
    return [value for value in column if value is not None and isfinite(value)]
