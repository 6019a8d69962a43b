"""All that a page shows by row: table, map, classes, costs, marks, filters, and the numbers for its script."""

from collections.abc import Mapping, Sequence
from typing import Any

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell, by_method
from xdseg.reporting.gains import Gain
from xdseg.reporting.image_gains import ImageGains
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.page_cards import Cards
from xdseg.reporting.page_costs import costs
from xdseg.reporting.page_facets import choices, common, facets
from xdseg.reporting.page_map import classes_of, map_of
from xdseg.reporting.page_marks import DEVICE, marks
from xdseg.reporting.page_methods import method_of, row_of
from xdseg.reporting.page_ranks import places as ranked
from xdseg.reporting.page_scores import methods, page_pairs, values
from xdseg.reporting.ranks import Ranks


def rows_of(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    found: Mapping[str, Gain],
    standing: Ranks,
    *,
    classes: Sequence[str],
    about: About,
    images: ImageGains,
) -> dict[str, Any]:
    """Parts of the page by the names that its templates use; methods are known by their place among `rows`."""
    own, spent, marked, placed = by_method(cells), costs(cells), marks(cells), ranked(rows, standing)
    places = {row.method: place for place, row in enumerate(rows)}
    pairs = page_pairs(cells)
    colours = {method: number for number, method in enumerate(own)}
    cost = {line.method: line for line in spent}
    kinds = {row.method: facets(row, own[row.method], about) for row in rows}
    at = {pair: place for place, pair in enumerate(pairs)}
    cards = Cards(cells, about, methods=places, pairs=at, gains=images)
    elsewhere = {method: said[DEVICE] for method, said in marked.rows.items() if DEVICE in said}
    return {
        "places": places,
        "rows": [
            row_of(row, own[row.method], found.get(row.method), colour=colours[row.method], cost=cost.get(row.method))
            | {"place": placed[row.method]}
            for row in rows
        ],
        "marks": marked,
        "choices": choices(list(kinds.values())),
        "common": common(list(kinds.values())),
        "map": map_of(rows, found),
        "classes": classes_of(rows, cells, classes, colours=colours),
        "costs": spent,
        "methods": [method_of(row, own, about, facets=kinds[row.method]) for row in rows],
        "contents": {
            "classes": list(classes),
            "pairs": pairs,
            "board": len(rows[0].by_pair),
            "methods": methods(rows, found, spent, facets=kinds, colours=colours, elsewhere=elsewhere),
            "values": values(rows, cells, classes),
        },
        "cards": {"cards": cards.cards, "sections": cards.sections},
    }
