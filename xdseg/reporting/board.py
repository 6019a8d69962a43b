"""A board: every table and figure of one grid, made from its records and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xdseg.files import write_text
from xdseg.reporting.about import About
from xdseg.reporting.cells_table import cells_csv, collect
from xdseg.reporting.costs import costs_csv
from xdseg.reporting.gains import gains
from xdseg.reporting.gains_figure import save_gains_figure
from xdseg.reporting.gains_table import class_gains_csv, gains_csv
from xdseg.reporting.heatmap import save_heatmap
from xdseg.reporting.leaderboard import leaderboard_csv, leaderboard_json, metrics_json, rank
from xdseg.reporting.page import leaderboard_md
from xdseg.reporting.page_html import index_html


def build_board(
    *,
    suite: str,
    classes: tuple[str, ...],
    expected: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
    out: Path,
    about: About | None = None,
) -> None:
    """Write into `out` cells.csv, leaderboard.*, metrics.json, {gains,class_gains,costs}.csv, pictures, index.html.

    Each is written atomically. `expected` lists every cell that the grid wants, in its order, as method, setting,
    source (`a+b`), target, seed; `records` those that exist, in any order, and entered rows; `about` is what the page
    says beyond them. The same cells give the same bytes. Raises BadInput if a record does not belong to the board.
    """
    cells = collect(expected, records, suite=suite, classes=classes)
    rows, about = rank(cells, classes), about or About()
    found = gains(rows, cells, about)
    texts = {
        "cells.csv": cells_csv(cells, classes),
        "leaderboard.csv": leaderboard_csv(rows, classes),
        "leaderboard.json": leaderboard_json(rows, classes),
        "metrics.json": metrics_json(rows),
        "leaderboard.md": leaderboard_md(rows, cells, found, suite=suite, classes=classes),
        "gains.csv": gains_csv(found),
        "class_gains.csv": class_gains_csv(rows, cells, classes, about=about),
        "costs.csv": costs_csv(cells),
        "index.html": index_html(rows, cells, found, suite=suite, classes=classes, about=about),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    save_heatmap(out / "heatmap.png", rows, suite=suite)
    save_gains_figure(out / "gains.png", found, suite=suite)
