"""A board: every table and figure of one grid, made from its records and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xdseg.files import write_text
from xdseg.reporting.about import About
from xdseg.reporting.board_figures import save_figures
from xdseg.reporting.board_tables import tables
from xdseg.reporting.cells_table import collect
from xdseg.reporting.gains import gains
from xdseg.reporting.image_gains import image_gains
from xdseg.reporting.leaderboard import rank
from xdseg.reporting.page import leaderboard_md
from xdseg.reporting.page_html import index_html
from xdseg.reporting.ranks import ranks
from xdseg.reporting.statistics.bootstrap import Replicates


def build_board(
    *,
    suite: str,
    classes: tuple[str, ...],
    expected: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
    out: Path,
    about: About | None = None,
    drawn: Mapping[tuple, Replicates | None] | None = None,
) -> None:
    """Write into `out` the tables (`board_tables`), leaderboard.md, index.html and the figures (`board_figures`).

    Each is written atomically. `expected` lists every cell that the grid wants, in its order, as method, setting,
    source (`a+b`), target, seed; `records` those that exist, in any order, and entered rows; `about` is what the page
    says beyond them; `drawn` are bootstrap replicates by cell (method, source, target, seed). The same cells give the
    same bytes. Raises BadInput if a record does not belong to the board.
    """
    cells = collect(expected, records, suite=suite, classes=classes, drawn=drawn)
    rows, about = rank(cells, classes), about or About()
    found, standing = gains(rows, cells, about), ranks(rows, cells)
    images = image_gains(found, cells)
    named = {"suite": suite, "classes": classes, "images": images}
    texts = tables(rows, cells, found, standing, about=about, **named) | {
        "leaderboard.md": leaderboard_md(rows, cells, found, standing, **named),
        "index.html": index_html(rows, cells, found, standing, about=about, **named),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    save_figures(out, rows, found, standing, suite=suite)
