"""The heat map of a board: mIoU of every method on every pair, and the mean."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xdseg.reporting.figures import save_figure
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.page import FLAG
from xdseg.reporting.text import ARROW

UNIT = 0.56  # inches per column; rows are HEIGHT of it
HEIGHT = 0.62
GROUP_GAP = 0.22  # columns between two targets, and before the mean
LETTER = 0.13  # width of a letter of the labels, in columns
BOLD = 1.15  # how much wider a bold letter is, or one of the title
FONT, SMALL = 8.5, 8.0  # points
MARGIN = 0.2  # columns around everything
HEADER = 0.45  # columns of height for the targets' names, and again for the title
INK, PALE, LINE = "#1a1a1a", "#f4f4f4", "#c4c4c4"
DARK = 0.5  # brightness of a colour, 0..1, below which white text is read more easily
BRIGHTNESS = (0.2126, 0.7152, 0.0722)  # shares of red, green and blue, Rec. 709
STEP = 10  # the colours span whole tens of percent


@dataclass(frozen=True)
class _Column:
    left: float  # in columns from the first one's edge
    label: str
    values: list[float | None]  # per row, fractions
    bold: bool = False


def save_heatmap(path: Path, rows: Sequence[Row], *, suite: str) -> None:
    """Write the map as PNG, and as SVG beside it; equal rows give equal bytes. Rows stand as given, columns by target.

    A cell without a value is hatched; so is the mean of an incomplete row.
    """
    save_figure(path, lambda: _figure(rows, suite))


def _figure(rows: Sequence[Row], suite: str) -> Figure:
    columns = _columns(rows)
    names = [f"{row.method} {FLAG}" if row.entered else row.method for row in rows]
    labels = LETTER * max(map(len, names)) + MARGIN
    longest = LETTER * max(len(column.label) for column in columns)
    upright = longest > 1 - MARGIN  # too long to be written above a column
    sources = (longest if upright else HEADER) + MARGIN
    title = _title(suite, columns)
    right, bottom = max(columns[-1].left + 1, BOLD * LETTER * len(title) - labels), len(rows) * HEIGHT
    width, height = labels + right + 2 * MARGIN, sources + 2 * HEADER + bottom + 2 * MARGIN
    figure = Figure(figsize=(width * UNIT, height * UNIT), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    # one unit is one column in both directions; the origin is the upper left corner of the first cell
    axes.set(xlim=(-labels - MARGIN, right + MARGIN), ylim=(bottom + MARGIN, -sources - 2 * HEADER - MARGIN))
    axes.axis("off")
    colours = _scale(value for column in columns for value in column.values)
    for column in columns:
        _draw_column(axes, column, colours, rotation=90 if upright else 0)
    for number, name in enumerate(names):
        _write(axes, -MARGIN / 2, (number + 0.5) * HEIGHT, name, ha="right")
    _draw_targets(axes, rows, columns, top=-sources)
    _write(axes, -labels, -sources - 1.6 * HEADER, title, ha="left", size=FONT + 1)
    return figure


def _columns(rows: Sequence[Row]) -> list[_Column]:
    """Columns of the pairs, in their order, and of the mean; a group is at least as wide as its target's name."""
    columns, left = [], 0.0
    for target, pairs in groupby(rows[0].by_pair, key=lambda pair: pair[1]):
        name_ends = left + BOLD * LETTER * len(_heading(target))
        for pair in pairs:
            columns.append(_Column(left, pair[0], [row.by_pair[pair] for row in rows]))
            left += 1
        left = max(left, name_ends) + GROUP_GAP
    return [*columns, _Column(left, "mean", [row.miou for row in rows], bold=True)]


def _heading(target: str) -> str:
    return f"{ARROW} {target}"


def _scale(values: Iterable[float | None]) -> Normalize:
    """Whole tens of percent around the values."""
    known = [100 * value for value in values if value is not None] or [0.0]
    low = STEP * int(min(known) // STEP)
    return Normalize(low, max(low + STEP, STEP * -int(-max(known) // STEP)))


def _draw_column(axes: Axes, column: _Column, colours: Normalize, *, rotation: int) -> None:
    weight = "bold" if column.bold else "normal"
    _write(
        axes, column.left + 0.5, -MARGIN / 2, column.label, ha="center", va="bottom", rotation=rotation, weight=weight
    )
    for number, value in enumerate(column.values):
        corner = (column.left, number * HEIGHT)
        if value is None:
            axes.add_patch(_box(corner, facecolor=PALE, edgecolor=LINE, hatch="////"))
            continue
        colour = matplotlib.colormaps["viridis"](colours(100 * value))
        brightness = sum(share * part for share, part in zip(BRIGHTNESS, colour, strict=False))  # alpha has no share
        ink = "white" if brightness < DARK else INK
        axes.add_patch(_box(corner, facecolor=colour, edgecolor="white"))
        middle = (column.left + 0.5, (number + 0.5) * HEIGHT)
        _write(axes, *middle, f"{100 * value:.1f}", ha="center", size=SMALL, color=ink, weight=weight)


def _box(corner: tuple[float, float], **style: object) -> Rectangle:
    return Rectangle(corner, 1, HEIGHT, linewidth=0.8, **style)


def _draw_targets(axes: Axes, rows: Sequence[Row], columns: Sequence[_Column], *, top: float) -> None:
    """The targets' names above their columns, each over a line as wide as its group."""
    spans: dict[str, list[float]] = {}
    for (_, target), column in zip(rows[0].by_pair, columns, strict=False):  # the last column is the mean
        spans.setdefault(target, []).append(column.left)
    for target, lefts in spans.items():
        axes.plot((lefts[0], lefts[-1] + 1), (top, top), color=INK, linewidth=0.8)
        _write(axes, lefts[0], top - HEADER / 2, _heading(target), ha="left", weight="bold")


def _title(suite: str, columns: Sequence[_Column]) -> str:
    hatched = any(value is None for column in columns for value in column.values)
    return f"{suite}: mIoU (%), source {ARROW} target" + ("; hatched: no value" if hatched else "")


def _write(axes: Axes, x: float, y: float, text: str, *, va: str = "center_baseline", **style: object) -> None:
    # a dollar sign in a name is no formula
    axes.text(x, y, text, va=va, parse_math=False, **{"size": FONT, "color": INK} | style)
