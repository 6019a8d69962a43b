"""index.html of a board: one file that a browser opens from anywhere, without a request to anyone.

Equal rows and cells give equal bytes: nothing in it tells when or where it was built.
"""

from collections.abc import Mapping, Sequence

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import MEANING, gain_lines, gain_notes
from xdseg.reporting.image_gains import ImageGains, beyond_images
from xdseg.reporting.image_table import BEYOND, image_sets
from xdseg.reporting.image_table import MEANING as IMAGES_MEANING
from xdseg.reporting.leaderboard import Row, dice_names, last_class, with_spread
from xdseg.reporting.page import FLAG, meaning, missing, notes
from xdseg.reporting.page_curves import learning, without_curve
from xdseg.reporting.page_errors import legend
from xdseg.reporting.page_panels import panels
from xdseg.reporting.page_published import beside
from xdseg.reporting.page_ranks import ranks_section
from xdseg.reporting.page_rows import rows_of
from xdseg.reporting.page_templates import render
from xdseg.reporting.ranks import Ranks
from xdseg.reporting.ranks_table import MEANING as RANKS_MEANING
from xdseg.reporting.seeds import MEANING as SEEDS_MEANING
from xdseg.reporting.seeds import span
from xdseg.reporting.text import ARROW

FILES = {  # beside the page
    "leaderboard.md": "the table as Markdown",
    "leaderboard.csv": "rows",
    "leaderboard.json": "rows with every pair",
    "leaderboard.tex": "rows as LaTeX",
    "ranks.csv": "ranks, and what is not separable",
    "ranks.png": "ranks as a picture",
    "ranks.svg": "the same for print",
    "gains.csv": "gains with their intervals",
    "class_gains.csv": "the same of every class",
    "image_gains.csv": "gains of every pair with their intervals over images",
    "gains.png": "gain on every pair, sorted",
    "gains.svg": "the same for print",
    "cells.csv": "every cell with its fingerprints",
    "costs.csv": "costs of every cell",
    "heatmap.png": "the map as a picture",
    "heatmap.svg": "the same for print",
}
SCRIPTS = ("base", "tables", "filters", "means", "classes", "cards", "pareto")


def index_html(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    found: Mapping[str, Gain],
    standing: Ranks,
    *,
    suite: str,
    classes: tuple[str, ...],
    about: About,
    images: ImageGains,
) -> str:
    """The page of a board; `found` are its gains, `images` those over images, `standing` its ranks.

    Raises BadInput if a panel cannot be read.
    """
    shown, left_out = panels(cells, about)
    beyond = beyond_images(images)
    return render(
        "index.html.j2",
        scripts=SCRIPTS,
        title=about.name or suite,
        suite=suite,
        about=about,
        flag=FLAG,
        facts=_facts(rows, cells),
        meaning=meaning(cells, text=str, code="{}"),
        spreads=SEEDS_MEANING if with_spread(rows) else "",
        notes=notes(rows, cells),
        missing=missing(rows, cells),
        lacking={row.method: list(row.by_pair.values()).count(None) for row in rows},
        last=last_class(classes),
        dice=dice_names(rows, average="mean Dice", region="Dice of {}"),
        gains=gain_lines(found, beyond=beyond),
        gains_blank=gain_notes(found),
        gains_meaning=f"{MEANING} {BEYOND}" if beyond else MEANING,
        beyond=bool(beyond),
        image_sets=image_sets(cells, images),
        images_meaning=IMAGES_MEANING,
        ranks=ranks_section(standing),
        ranks_meaning=RANKS_MEANING,
        published=beside(rows),
        pairs=[f"{source} {ARROW} {target}" for source, target in rows[0].by_pair],
        curves=learning(cells),
        no_curves=without_curve(cells),
        panels=shown,
        panels_left_out=left_out,
        keys=legend(classes),
        files=FILES,
        **rows_of(rows, cells, found, standing, classes=classes, about=about, images=images),
    )


def _facts(rows: Sequence[Row], cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    scored = sum(cell.record is not None for cell in cells)
    seeds = span(count for row in rows for count in row.seeds.values())
    protocols = sorted({cell.record["protocol"]["name"] for cell in cells if cell.record})
    return [
        ("methods", str(len(rows))),
        ("domain pairs", str(len(rows[0].by_pair))),
        ("cells scored", f"{scored} of {len(cells)}"),
        ("seed a pair" if seeds == "1" else "seeds a pair", seeds),
        ("protocol", ", ".join(protocols) or "–"),
    ]
