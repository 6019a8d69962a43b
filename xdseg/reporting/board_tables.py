"""The tables of a board: by file name, their text."""

from collections.abc import Mapping, Sequence

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell, cells_csv
from xdseg.reporting.costs import costs_csv
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import class_gains_csv, gains_csv
from xdseg.reporting.image_gains import ImageGains, image_gains_csv, over_images_json
from xdseg.reporting.leaderboard import Row, leaderboard_csv, leaderboard_json, metrics_json
from xdseg.reporting.leaderboard_tex import leaderboard_tex
from xdseg.reporting.ranks import Ranks
from xdseg.reporting.ranks_table import ranks_csv


def tables(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    found: Mapping[str, Gain],
    standing: Ranks,
    *,
    suite: str,
    classes: tuple[str, ...],
    about: About,
    images: ImageGains,
) -> dict[str, str]:
    """For programs and papers; `found` are the board's gains, `images` those over images, `standing` its ranks.

    The pages are written elsewhere.
    """
    return {
        "cells.csv": cells_csv(cells, classes),
        "leaderboard.csv": leaderboard_csv(rows, classes),
        "leaderboard.json": leaderboard_json(rows, classes, over_images=over_images_json(cells, images)),
        "leaderboard.tex": leaderboard_tex(rows, cells, standing, board=about.name or suite, suite=suite),
        "metrics.json": metrics_json(rows),
        "gains.csv": gains_csv(found),
        "class_gains.csv": class_gains_csv(rows, cells, classes, about=about),
        "image_gains.csv": image_gains_csv(images),
        "ranks.csv": ranks_csv(standing),
        "costs.csv": costs_csv(cells),
    }
