"""Figure of a growing grid: processor per cell on the left, the scheduler's memory and a second run on the right."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xdseg.files import temporary

JOBS, SCHEDULER, AGAIN = "#1b5e8c", "#b3541e", "#6b6b6b"
INCHES, DPI = (9.0, 3.4), 150


def save(grids: Sequence[Any], out: Path) -> None:
    """Write the figure beside `out`, as .png and .svg: the same bytes for the same numbers."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = out.stem  # else ids are drawn
        figure = draw(grids)
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            with temporary(out.with_suffix(f".{ending}")) as unfinished:
                figure.savefig(unfinished, format=ending, dpi=DPI, metadata=metadata)


def draw(grids: Sequence[Any]) -> Figure:
    """Bars for grids side by side, so that flat is seen as flat."""
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    time, memory, again = figure.subplots(1, 3)
    places, names = range(len(grids)), [f"{grid.cells:,}" for grid in grids]
    jobs = [grid.per_cell(grid.jobs_cpu_s) for grid in grids]
    own = [grid.per_cell(grid.scheduler_cpu_s) for grid in grids]
    time.bar(places, jobs, color=JOBS, label="jobs")
    time.bar(places, own, bottom=jobs, color=SCHEDULER, label="scheduler")
    time.set(title="processor per cell, s", ylim=(0, 1.3 * max(a + b for a, b in zip(jobs, own, strict=True))))
    time.legend(frameon=False, ncols=2, loc="upper right", fontsize="small")
    memory.bar(places, [grid.scheduler_mib for grid in grids], color=SCHEDULER)
    memory.set(title="scheduler's peak memory, MiB")
    again.bar(places, [grid.again_wall_s for grid in grids], color=AGAIN)
    again.set(title="run again, nothing to do, s")
    for axes in (time, memory, again):
        axes.set_xticks(places, names)
        axes.set_xlabel("cells of the grid")
        axes.title.set_fontsize("medium")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
