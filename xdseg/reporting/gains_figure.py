"""The figure of a board's gains: for each method that names a host or floor, its gain on every pair, sorted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from xdseg.reporting.figures import save_figure
from xdseg.reporting.gains import FEWEST_PAIRS, Gain
from xdseg.reporting.gains_table import signed
from xdseg.reporting.text import ARROW

ACROSS = 4  # panels beside each other
BAR, PANEL = 0.17, 2.1  # inches: height of a bar's line, width of a panel without its labels
LETTER = 0.066  # inches per letter of a label
HEAD, FOOT, GUTTER = 0.5, 0.26, 0.22  # inches: above the bars, below them, between panels
TITLE = 0.35  # inches above all panels
FONT, SMALL = 8.5, 7.0  # points
LEAST_SPAN = 0.1  # points, of an axis on which all bars are 0
INK, QUIET, BAND = "#1a1a1a", "#6b6b6b", "#e6e6e6"
UP, DOWN = "#0072b2", "#d55e00"  # Okabe and Ito's blue and vermilion: apart for colour-blind readers, and in grey
HALO = 2.0  # points of white around a number, which the dashed mean may cross
ARROWS = {"linestyle": "none", "markersize": 4.5, "markeredgewidth": 0, "color": "#3c3c4a"}  # of a band that is cut
ROOM = 0.17  # of a panel's width, at each end, for the numbers


@dataclass(frozen=True)
class _Panel:
    method: str
    gain: Gain
    bars: list[tuple[str, float]]  # what and how much, in points, largest first

    @property
    def heading(self) -> str:
        """Against what, the mean, and its interval."""
        about = self.gain.estimate
        ends = f" ({' to '.join(map(signed, about.interval))})" if about.interval else ""
        return f"over {self.gain.against}: {signed(about.mean) or 'no mean'}{ends}"


def save_gains_figure(path: Path, found: Mapping[str, Gain], *, suite: str) -> None:
    """Write the figure as PNG, and as SVG beside it; equal gains give equal bytes. Bars are points of mIoU.

    A dashed line is the mean, a grey band its 95 % interval. Methods with equal role (`host`, `floor`) share a scale.
    On a board of one pair the bars are seeds. Where no method has a gain, the figure says so.
    """
    save_figure(path, lambda: _figure([panel for panel in map(_panel, found, found.values()) if panel.bars], suite))


def _panel(method: str, gain: Gain) -> _Panel:
    if len(gain.by_seed) < FEWEST_PAIRS:
        named = [(f"seed {seed}", value) for values in gain.by_seed.values() for seed, value in values.items()]
    else:
        named = [(f" {ARROW} ".join(pair), value) for pair, value in gain.by_pair.items() if value is not None]
    return _Panel(method, gain, sorted(((name, 100 * value) for name, value in named), key=lambda bar: -bar[1]))


def _figure(panels: Sequence[_Panel], suite: str) -> Figure:
    title = f"{suite}: gain in mIoU (points) on every pair; dashed: mean; grey: its 95 % interval"
    scales = _scales(panels)
    title += ", cut at arrows" * any(map(_beyond, panels, (scales[panel.gain.role] for panel in panels)))
    across = max(1, min(ACROSS, len(panels)))
    labels = LETTER * max((len(name) for panel in panels for name, _ in panel.bars), default=0)
    lines = [panels[at : at + across] for at in range(0, len(panels), across)]
    heights = [HEAD + FOOT + BAR * max(len(panel.bars) for panel in line) for line in lines]
    width = max(across * (labels + PANEL + GUTTER) + GUTTER, LETTER * len(title) + 2 * GUTTER)
    height = TITLE + sum(heights)
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    _text(figure, GUTTER / width, 1 - TITLE / 2 / height, title if panels else f"{suite}: no gain to show")
    top = height - TITLE
    for line, tall in zip(lines, heights, strict=True):
        for column, panel in enumerate(line):
            left = GUTTER + column * (labels + PANEL + GUTTER) + labels
            bars = BAR * len(panel.bars)
            box = (left / width, (top - HEAD - bars) / height, PANEL / width, bars / height)
            _draw(figure.add_axes(box), panel, scales[panel.gain.role])
            _headings(figure, panel, (left - labels) / width, box[1] + box[3])
        top -= tall
    return figure


def _scales(panels: Sequence[_Panel]) -> dict[str, tuple[float, float]]:
    """By role, the ends of the axis: all bars, 0, and room for the numbers."""
    scales = {}
    for role in {panel.gain.role for panel in panels}:
        values = [value for panel in panels if panel.gain.role == role for _, value in panel.bars] + [0.0]
        room = ROOM / (1 - 2 * ROOM) * max(max(values) - min(values), LEAST_SPAN)
        scales[role] = (min(values) - room, max(values) + room)
    return scales


def _draw(axes: Axes, panel: _Panel, scale: tuple[float, float]) -> None:
    about, places = panel.gain.estimate, range(len(panel.bars))
    values = [value for _, value in panel.bars]
    axes.set(xlim=scale, ylim=(len(values) - 0.5, -0.5))
    if about.interval:
        axes.axvspan(*(100 * end for end in about.interval), color=BAND, linewidth=0)
        axes.set_xlim(scale)
        for x, marker in _beyond(panel, scale):
            axes.plot([x, x], [0, 1], transform=axes.transAxes, marker=marker, clip_on=False, **ARROWS)
    axes.barh(places, values, height=0.7, color=[UP if value >= 0 else DOWN for value in values])
    axes.axvline(0, color=INK, linewidth=0.8)
    if about.mean is not None:
        axes.axvline(100 * about.mean, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1.5)
    for place, value in zip(places, values, strict=True):
        gap = 0.02 * (scale[1] - scale[0]) * (1 if value >= 0 else -1)
        side = "left" if value >= 0 else "right"
        number = axes.text(value + gap, place, signed(value / 100, 1), ha=side, va="center_baseline", size=SMALL)
        number.set(color=INK, path_effects=[withStroke(linewidth=HALO, foreground="white")])
    axes.set_yticks(places, [name for name, _ in panel.bars], size=SMALL, color=INK, parse_math=False)
    axes.tick_params(length=0, pad=2)
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=QUIET)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _beyond(panel: _Panel, scale: tuple[float, float]) -> list[tuple[float, str]]:
    """Where an interval is cut by the ends of the axis: share of the width, and the arrow that says so."""
    low, high = panel.gain.estimate.interval or (0.0, 0.0)
    return [(0.0, "<")] * (100 * low < scale[0]) + [(1.0, ">")] * (100 * high > scale[1])


def _headings(figure: Figure, panel: _Panel, x: float, y: float) -> None:
    """The method and what it is held against, above the bars and their labels."""
    inch = 1 / figure.get_figheight()
    figure.text(x, y + 0.26 * inch, panel.method, size=FONT, weight="bold", color=INK, parse_math=False)
    figure.text(x, y + 0.09 * inch, panel.heading, size=SMALL, color=QUIET, parse_math=False)


def _text(figure: Figure, x: float, y: float, text: str) -> None:
    figure.text(x, y, text, ha="left", va="center", size=FONT + 1, color=INK, parse_math=False)
