"""Table and figure of MVFuser beside attention: time above memory, forward on the left, training on the right."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xdseg.files import temporary

FUSER, ATTENTION, PLAIN = "MVFuser", "attention", "plain attention"
FORWARD, TRAINING = "forward", "training"
TITLES = {FORWARD: "forward", TRAINING: "forward and backward"}
COLOURS = {FUSER: "#1b5e8c", ATTENTION: "#b3541e", PLAIN: "#6b6b6b"}
MARKERS = {FUSER: "o", ATTENTION: "s", PLAIN: "^"}
LINES = {"fp32": "-", "bf16": "--"}
INCHES, DPI = (9.0, 6.4), 150
LEAST_MIB = 1e-2  # that a logarithmic axis shows


@dataclass(frozen=True)
class Row:
    """One point of the figure."""

    device: str
    precision: str
    kind: str  # forward or training
    arm: str
    tokens: int
    milliseconds: float
    mib: float

    def told(self) -> dict[str, Any]:
        """As table and JSON have it, to four digits."""
        return {key: float(f"{x:.4g}") if isinstance(x, float) else x for key, x in asdict(self).items()}


def save(rows: Sequence[Row], path: Path) -> None:
    """Write `path` with the endings .csv, .png and .svg, the same bytes for the same rows."""
    with temporary(path.with_suffix(".csv")) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, [column.name for column in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows(row.told() for row in rows)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = path.stem  # else ids are drawn
        figure = draw(rows)
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            with temporary(path.with_suffix(f".{ending}")) as unfinished:
                figure.savefig(unfinished, format=ending, dpi=DPI, metadata=metadata)


def draw(rows: Sequence[Row]) -> Figure:
    """All axes logarithmic."""
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for line, (quantity, unit) in enumerate((("milliseconds", "time, ms"), ("mib", "peak memory, MiB"))):
        for column, kind in enumerate((FORWARD, TRAINING)):
            lines(panels[line, column], [row for row in rows if row.kind == kind], quantity)
            panels[line, column].set(xlabel="tokens of both encoders" if line else "", ylabel="" if column else unit)
    for column, kind in enumerate((FORWARD, TRAINING)):
        panels[0, column].set_title(TITLES[kind], fontsize="medium")
    panels[0, 0].legend(frameon=False, fontsize="small")
    return figure


def lines(axes: Axes, rows: Sequence[Row], quantity: str) -> None:
    """One line per arm and precision."""
    precisions = list(dict.fromkeys(row.precision for row in rows))
    for arm, colour in COLOURS.items():
        for precision in precisions:
            points = [row for row in rows if (row.arm, row.precision) == (arm, precision)]
            values = [max(getattr(row, quantity), LEAST_MIB) for row in points]
            label = arm if len(precisions) == 1 else f"{arm}, {precision}"
            look = {"color": colour, "marker": MARKERS[arm], "linestyle": LINES[precision]}
            axes.plot([row.tokens for row in points], values, label=label, **look)
    axes.set(xscale="log", yscale="log")
    powers = sorted({row.tokens for row in rows if row.tokens.bit_count() == 1})
    axes.set_xticks(powers, [str(tokens) for tokens in powers], minor=False, rotation=45)
    axes.set_xticks([], minor=True)
    axes.grid(visible=True, which="both", alpha=0.25)
