"""The figure of a board's ranks: methods on the axis of mean ranks, and bars over those that cannot be told apart.

It looks like the diagrams of critical differences (Demsar 2006), and says in itself that its bars are something else.
"""

from pathlib import Path
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from xdseg.reporting.figures import save_figure
from xdseg.reporting.ranks import Ranks, Standing

AXIS = 4.4  # inches, from the first rank to the last
LINE, BAR = 0.19, 0.13  # inches: height of a label's line, and of a bar's
LETTER = 0.064  # inches per letter of the lines below the figure
MARGIN, GAP, TICK = 0.2, 0.08, 0.05  # inches: around everything, between line and label, length of a tick
TITLE = 0.32  # inches
FONT, SMALL = 8.5, 7.5  # points
POINTS = 72  # per inch
PIXELS = 1.05  # how much wider letters may get when they are fitted to pixels
TICKS = 12  # at most, beside the first
INK, QUIET, PALE = "#1a1a1a", "#6b6b6b", "#9a9a9a"
BEST, OTHER = "#0072b2", "#e69f00"  # of bars with the best and without it: Okabe and Ito's blue and orange
SAID = (
    "Bars join methods that no test separates (a dot on each; blue: with the best). Every two are compared over the "
    "pairs, clustered by source and target, with Holm's adjustment at 5 %: this is no Nemenyi test. In brackets: the "
    "ranks by mean mIoU that the tests leave open."
)


def save_ranks_figure(path: Path, found: Ranks, *, suite: str) -> None:
    """Write the figure as PNG, and as SVG beside it; equal ranks give equal bytes. Without ranks it says why."""
    without = f"{suite}: no ranks, {found.reason}"
    save_figure(path, lambda: _figure(found, suite) if found.standings else _sentence(without))


def _figure(found: Ranks, suite: str) -> Figure:
    methods = found.standings
    half = (len(methods) + 1) // 2
    labels = max(_inches(_label(standing)) for standing in methods) + GAP
    width = 2 * (MARGIN + labels) + AXIS
    said = _said(found, letters=int((width - 2 * MARGIN) / LETTER))
    bottom = MARGIN + LINE * (len(said) + 0.5)
    line = bottom + LINE * (half + 1)  # of the axis
    height = line + 2 * LINE + BAR * len(found.groups) + TITLE + MARGIN
    figure, axes = _canvas(width, height)
    title = f"{suite}: mean rank over {found.pairs} pairs"
    _write(axes, MARGIN, height - MARGIN - TITLE / 2, title, FONT + 1)
    start = MARGIN + labels
    _draw_axis(axes, len(methods), start, line)
    for number, standing in enumerate(methods):
        left = number < half
        y = line - LINE * ((number if left else len(methods) - 1 - number) + 1)
        end = start - GAP / 2 if left else start + AXIS + GAP / 2
        x = _place(standing.mean_rank, len(methods), start)
        axes.plot((x, x, end), (line, y, y), color=PALE, linewidth=0.8, solid_joinstyle="miter")
        _write(axes, end + (-GAP if left else GAP) / 2, y, _label(standing), FONT, ha="right" if left else "left")
    _draw_bars(axes, found, start, line + 2 * LINE)
    for number, text in enumerate(said):
        _write(axes, MARGIN, bottom - LINE * (number + 0.5), text, SMALL, color=QUIET)
    return figure


def _label(standing: Standing) -> str:
    return f"{standing.method}  {standing.mean_rank:.2f} [{standing.open}]"


def _inches(text: str) -> float:
    """How long a label is; names of wide letters must fit too."""
    return TextPath((0, 0), text, size=FONT).get_extents().width / POINTS * PIXELS


def _said(found: Ranks, *, letters: int) -> list[str]:
    """The lines below the figure."""
    left_out = f"Not ranked, for reasons in ranks.csv: {', '.join(found.left_out)}." if found.left_out else ""
    return [line for text in (SAID, left_out) for line in wrap(text, letters)]


def _place(rank: float, methods: int, start: float) -> float:
    """Inches from the left."""
    return start + AXIS * (rank - 1) / (methods - 1)


def _draw_axis(axes: Axes, methods: int, start: float, y: float) -> None:
    axes.plot((start, start + AXIS), (y, y), color=INK, linewidth=1.0)
    for rank in range(1, methods + 1, -(-methods // TICKS)):
        x = _place(rank, methods, start)
        axes.plot((x, x), (y, y + TICK), color=INK, linewidth=1.0)
        _write(axes, x, y + TICK + LINE / 2, str(rank), SMALL, ha="center", color=QUIET)


def _draw_bars(axes: Axes, found: Ranks, start: float, y: float) -> None:
    """A bar per group, upwards from `y`, the one that reaches furthest to the left last."""
    places = {s.method: _place(s.mean_rank, len(found.standings), start) for s in found.standings}
    for number, group in enumerate(reversed(found.groups)):
        across = [places[method] for method in group]
        up, colour = [y + BAR * number] * len(group), BEST if found.best in group else OTHER
        axes.plot(across, up, color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(across, up, color=colour, linestyle="none", marker="o", markersize=4.2, markeredgewidth=0)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A white figure whose one axes counts inches from the lower left."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def _sentence(text: str) -> Figure:
    figure, axes = _canvas(2 * MARGIN + _inches(text), 2 * MARGIN + LINE)
    _write(axes, MARGIN, MARGIN + LINE / 2, text, FONT)
    return figure


def _write(axes: Axes, x: float, y: float, text: str, size: float, *, ha: str = "left", color: str = INK) -> None:
    axes.text(x, y, text, ha=ha, va="center_baseline", size=size, color=color, parse_math=False)
