"""Ranks on the page: each row's place with what the tests leave open, and their picture in the page's own colours.

The picture has the form of `ranks_figure`: methods on the axis of mean ranks, bars over those that no test separates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xdseg.reporting.leaderboard import Row
from xdseg.reporting.page_scores import MILLION
from xdseg.reporting.ranks import CEILING, Ranks, Standing
from xdseg.reporting.text import fixed

LINE, BAR, GAP, TICK = 20, 11, 8, 5  # units of the picture: a label's line, a bar's, space beside a label, a tick
AXIS, HEAD, MARGIN = 330, 32, 6  # the axis; above it, for the ticks; around everything
WIDE, LETTER = ("@%MWmw", 11), 6.5  # units of these letters, and of another one, in most fonts
CAPITAL = 8.2
TICKS = 12  # at most, beside the first
MOST_BARS = 40  # of a picture on the page; one of more is in its files alone, where it may be as tall as it gets
NAMED = 12  # methods that a line of the table names; of more it gives the number


@dataclass(frozen=True)
class Place:
    """One row's rank by mean mIoU as the table shows it; without `rank` it has none, and `why` may say so."""

    rank: int | None = None
    open: str = ""  # the ranks that the tests leave to it; empty where there are no tests
    tied: bool = False  # is it not separable from the best, or the best with whom others tie?
    why: str = ""


@dataclass(frozen=True)
class Label:
    """A method in the picture: the line from its mean rank to its text, and the text."""

    points: str
    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Bar:
    """Methods of which no two are separable, from left to right."""

    places: tuple[float, ...]
    y: float
    best: bool  # is the best among them?


@dataclass(frozen=True)
class Picture:
    """Everything at its place, in units from the upper left."""

    width: float
    height: float
    axis: tuple[float, float, float]  # left, right, y
    ticks: tuple[tuple[float, int], ...]
    labels: tuple[Label, ...]
    bars: tuple[Bar, ...]


def places(rows: Sequence[Row], standing: Ranks) -> dict[str, Place]:
    """By method its place among the rows that have a mean and are no ceiling; equal means share one."""
    means = {row.method: round(MILLION * row.miou) for row in rows if row.miou is not None and row.setting != CEILING}
    found = {one.method: one for one in standing.standings}
    return {row.method: _place(row.method, means, found.get(row.method), standing) for row in rows}


def _place(method: str, means: dict[str, int], one: Standing | None, standing: Ranks) -> Place:
    if method not in means:
        return Place(why=standing.left_out.get(method, ("", ""))[1])
    rank = 1 + sum(value > means[method] for value in means.values())
    return Place(rank, one.open, bool(one.alike) and standing.tied(one)) if one else Place(rank)


def ranks_section(standing: Ranks) -> dict[str, Any]:
    """The section by the names that its template uses; without ranks the reason alone."""
    if not standing.standings:
        return {"reason": standing.reason}
    return {
        "reason": "",
        "pairs": standing.pairs,
        "best": standing.best,
        "bars": len(standing.groups),
        "picture": picture(standing) if len(standing.groups) <= MOST_BARS else None,
        "lines": [_line(one, len(standing.standings)) for one in standing.standings],
        "left_out": [(method, why) for method, (_, why) in standing.left_out.items()],
    }


def _line(one: Standing, methods: int) -> dict[str, str]:
    others = len(one.alike)
    told = ", ".join(one.alike) if others <= NAMED else f"{others} others"
    alike = "all others" if others == methods - 1 else told or "none"
    return {"method": one.method, "mean": fixed(one.mean_rank), "open": one.open, "alike": alike}


def picture(found: Ranks) -> Picture:
    """The picture of ranks that a board has."""
    methods = found.standings
    half = (len(methods) + 1) // 2
    left = MARGIN + GAP + max(_width(_text(one)) for one in methods)
    axis = MARGIN + BAR * len(found.groups) + HEAD
    across = {one.method: left + AXIS * (one.mean_rank - 1) / (len(methods) - 1) for one in methods}
    labels = []
    for number, one in enumerate(methods):
        first = number < half
        y = axis + LINE * ((number if first else len(methods) - 1 - number) + 1)
        end, outwards = (left, -GAP / 2) if first else (left + AXIS, GAP / 2)
        x = across[one.method]
        points = f"{x:.1f},{axis:.1f} {x:.1f},{y:.1f} {end + outwards / 2:.1f},{y:.1f}"
        labels.append(Label(points, round(end + outwards, 1), y, "end" if first else "start", _text(one)))
    ticks = range(1, len(methods) + 1, -(-len(methods) // TICKS))
    return Picture(
        width=round(2 * left + AXIS, 1),
        height=axis + LINE * (half + 1),
        axis=(round(left, 1), round(left + AXIS, 1), axis),
        ticks=tuple((round(left + AXIS * (rank - 1) / (len(methods) - 1), 1), rank) for rank in ticks),
        labels=tuple(labels),
        bars=tuple(
            Bar(tuple(round(across[name], 1) for name in group), MARGIN + BAR * (number + 0.5), found.best in group)
            for number, group in enumerate(found.groups)
        ),
    )


def _width(text: str) -> float:
    """How long a label may get; the page's font is the reader's."""
    return sum(WIDE[1] if one in WIDE[0] else CAPITAL if one.isupper() else LETTER for one in text)


def _text(one: Standing) -> str:
    return f"{one.method}  {fixed(one.mean_rank)} [{one.open}]"
