"""The heat map of a page, and what every method makes of every class."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import signed
from xdseg.reporting.leaderboard import Row, mean
from xdseg.reporting.page_cards import card_name
from xdseg.reporting.page_colours import gain_scale, score_scale
from xdseg.reporting.text import ARROW, percent

UPRIGHT = 8  # more pairs than this have their names written upwards


def map_of(rows: Sequence[Row], found: Mapping[str, Gain]) -> dict[str, Any]:
    """The heat map: columns by target, and of each row its cells and its mean."""
    values = [value for row in rows for value in (*row.by_pair.values(), row.miou)]
    score, low, high = score_scale(values)
    differences = [value for gain in found.values() for value in (*gain.by_pair.values(), gain.mean)]
    gained, most = gain_scale(differences)

    def tile(value: float | None, gain: float | None, **more: str) -> dict[str, Any]:
        style = "" if value is None else "--m:{};--mi:{};".format(*score(value))
        style += "" if gain is None else "--g:{};--gi:{}".format(*gained(gain))
        return {
            "miou": percent(value),
            "short": "" if value is None else f"{100 * value:.1f}",
            "gain": signed(gain, 1),
            "order": "" if gain is None else f"{100 * gain:.4f}",
            "style": style,
            **more,
        }

    lines = []
    for row in rows:
        gain = found.get(row.method)
        tiles = [
            tile(
                value,
                gain.by_pair[pair] if gain else None,
                card=card_name(row.method, *pair),
                pair=f" {ARROW} ".join(pair),
                target=pair[1],
            )
            for pair, value in row.by_pair.items()
        ]
        lines.append({"row": row, "tiles": tiles, "mean": tile(row.miou, gain.mean if gain else None)})
    return {
        "targets": [(target, len(list(pairs))) for target, pairs in groupby(rows[0].by_pair, key=lambda pair: pair[1])],
        "pairs": list(rows[0].by_pair),
        "upright": len(rows[0].by_pair) > UPRIGHT,
        "lines": lines,
        "ends": [f"{low:.0f}", f"{high:.0f}"],
        "stops": ",".join(score((low + (high - low) * part / 8) / 100)[0] for part in range(9)),
        "gains": bool(found),
        "gain_ends": [signed(-most / 100, 1), signed(most / 100, 1)],
        "gain_stops": ",".join(gained(most * (part / 4 - 1) / 100)[0] for part in range(9)),
    }


def classes_of(
    rows: Sequence[Row], cells: Sequence[TableCell], classes: Sequence[str], *, colours: Mapping[str, int]
) -> list[dict[str, Any]]:
    """IoU per class and method: over seeds, then over the pairs on which a row of the board has that class.

    A row that lacks it on one of them has none, as its mean would be over other pairs than its neighbours'.
    """
    seeds: dict[tuple[str, tuple[str, str], str], list[float | None]] = {}
    for cell in cells:
        for name in classes:
            seeds.setdefault((cell.method, cell.pair, name), []).append(cell.iou(name))
    found = []
    for number, name in enumerate(classes):
        by_pair = {row.method: [mean(seeds.get((row.method, pair, name), ())) for pair in row.by_pair] for row in rows}
        scored = [
            place for place in range(len(rows[0].by_pair)) if any(own[place] is not None for own in by_pair.values())
        ]
        bars = [
            {
                "place": place,
                "method": row.method,
                "colour": colours[row.method],
                "value": percent(mean(by_pair[row.method][at] for at in scored)),
            }
            for place, row in enumerate(rows)
        ]
        found.append({"number": number, "name": name, "pairs": len(scored), "bars": bars})
    return found
