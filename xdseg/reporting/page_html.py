"""index.html of a board: one file that a browser opens from anywhere, without a request to anyone.

Equal rows and cells give equal bytes: nothing in it tells when or where it was built.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xdseg.panels import colours
from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import MEANING, gain_lines, gain_notes, signed
from xdseg.reporting.leaderboard import Row, last_class, mean, millions
from xdseg.reporting.page import FLAG, meaning, missing, notes
from xdseg.reporting.page_cards import Cards, card_name, flattened
from xdseg.reporting.page_colours import gain_scale, score_scale
from xdseg.reporting.page_costs import costs
from xdseg.reporting.page_curves import charts, without_curve
from xdseg.reporting.page_panels import panels
from xdseg.reporting.text import ARROW, percent
from xdseg.settings.methods import ROLES

TEMPLATES = Path(__file__).parent / "templates"
LAST = "-999"  # where a tile without a gain is sorted
UPRIGHT = 8  # more pairs than this have their names written upwards
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
    "gains.png": "gain on every pair, sorted",
    "gains.svg": "the same for print",
    "cells.csv": "every cell with its fingerprints",
    "costs.csv": "costs of every cell",
    "heatmap.png": "the map as a picture",
    "heatmap.svg": "the same for print",
}


def index_html(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    found: Mapping[str, Gain],
    *,
    suite: str,
    classes: tuple[str, ...],
    about: About,
) -> str:
    """The page of a board; `found` are its gains. Raises BadInput if a panel cannot be read."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    places = {method: number for number, method in enumerate(dict.fromkeys(cell.method for cell in cells))}
    shown, left_out = panels(cells, about)
    return environment.get_template("index.html.j2").render(
        title=about.name or suite,
        suite=suite,
        about=about,
        arrow=ARROW,
        flag=FLAG,
        facts=_facts(rows, cells),
        meaning=meaning(cells, text=str, code="{}"),
        notes=notes(rows, cells),
        missing=missing(rows, cells),
        lacking={row.method: list(row.by_pair.values()).count(None) for row in rows},
        last=last_class(classes),
        rows=[_row(row, cells, found.get(row.method), places[row.method]) for row in rows],
        gains=gain_lines(found),
        gains_blank=gain_notes(found),
        gains_meaning=MEANING,
        map=_map(rows, found),
        classes=_classes(rows, cells, classes, places),
        pairs=[f"{source} {ARROW} {target}" for source, target in rows[0].by_pair],
        curves=charts(cells),
        no_curves=without_curve(cells),
        panels=shown,
        panels_left_out=left_out,
        key=_key(classes) if shown else [],
        costs=costs(cells),
        methods=[_method(row, cells, about) for row in rows],
        files=FILES,
        css=Markup((TEMPLATES / "page.css").read_text()),
        script=Markup((TEMPLATES / "page.js").read_text()),
        contents=_inline(_contents(cells, about, classes)),
    )


def _inline(contents: Any) -> Markup:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(contents, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _contents(cells: Sequence[TableCell], about: About, classes: tuple[str, ...]) -> dict[str, Any]:
    """What the page's script shows on demand."""
    cards = Cards(cells, about, classes)
    return {"classes": list(classes), "cards": cards.cards, "sections": cards.sections}


def _key(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """What the colours of panels mean."""
    return [
        (name, "#{:02x}{:02x}{:02x}".format(*colour)) for name, colour in zip(classes, colours(classes), strict=True)
    ]


def _facts(rows: Sequence[Row], cells: Sequence[TableCell]) -> list[tuple[str, str]]:
    scored = sum(cell.record is not None for cell in cells)
    seeds = sorted({cell.seed for cell in cells})
    protocols = sorted({cell.record["protocol"]["name"] for cell in cells if cell.record})
    return [
        ("methods", str(len(rows))),
        ("domain pairs", str(len(rows[0].by_pair))),
        ("cells scored", f"{scored} of {len(cells)}"),
        ("seeds" if len(seeds) > 1 else "seed", str(len(seeds))),
        ("protocol", ", ".join(protocols) or "–"),
    ]


def _row(row: Row, cells: Sequence[TableCell], gain: Gain | None, colour: int) -> dict[str, Any]:
    wanted = {cell.seed for cell in cells if cell.method == row.method}
    return {
        "row": row,
        "colour": colour,
        "miou": percent(row.miou),
        "last": percent(row.last_class),
        "gain": gain,
        "gain_text": signed(gain.mean) if gain else "",
        "seeds": f"{row.seeds}/{len(wanted)}" if row.seeds < len(wanted) else str(row.seeds),
        "parameters": millions(row.parameters),
        "complete": row.miou is not None,
    }


def _map(rows: Sequence[Row], found: Mapping[str, Gain]) -> dict[str, Any]:
    """The heat map: columns by target, and of each row its cells and its mean."""
    values = [value for row in rows for value in (*row.by_pair.values(), row.miou)]
    score, low, high = score_scale(values)
    differences = [value for gain in found.values() for value in (*gain.by_pair.values(), gain.mean)]
    gained, most = gain_scale(differences)

    def tile(value: float | None, gain: float | None, name: str | None) -> dict[str, Any]:
        style = "" if value is None else "--m:{};--mi:{};".format(*score(value))
        style += "" if gain is None else "--g:{};--gi:{}".format(*gained(gain))
        return {
            "miou": percent(value),
            "short": "" if value is None else f"{100 * value:.1f}",
            "gain": signed(gain, 1),
            "order": LAST if gain is None else f"{100 * gain:.4f}",
            "style": style,
            "card": name,
        }

    lines = []
    for row in rows:
        gain = found.get(row.method)
        tiles = [
            tile(value, gain.by_pair[pair] if gain else None, card_name(row.method, *pair))
            for pair, value in row.by_pair.items()
        ]
        lines.append({"row": row, "tiles": tiles, "mean": tile(row.miou, gain.mean if gain else None, None)})
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


def _classes(
    rows: Sequence[Row], cells: Sequence[TableCell], classes: tuple[str, ...], places: dict[str, int]
) -> list[dict[str, Any]]:
    """IoU per class and method: over seeds, then over the pairs on which the class is scored."""
    found = []
    for number, name in enumerate(classes):
        bars = []
        for row in rows:
            own = [cell for cell in cells if cell.method == row.method and cell.record]
            by_pair = [mean(cell.iou(name) for cell in own if cell.pair == pair) for pair in row.by_pair]
            scored = [value for value in by_pair if value is not None]
            bars.append({"method": row.method, "colour": places[row.method], "value": percent(mean(scored)),
                         "pairs": f"{len(scored)}/{len(by_pair)}"})  # fmt: skip
        found.append({"number": number, "name": name, "bars": bars})
    return found


def _method(row: Row, cells: Sequence[TableCell], about: About) -> dict[str, Any]:
    """What a method is, and what it does otherwise than its host (else its floor)."""
    beside, _ = about.peer(row.method) or (None, None)
    own, other = _settings(cells, row.method), _settings(cells, beside)
    named = about.peers.get(row.method, {})
    return {
        "row": row,
        "parts": about.parts.get(row.method, ""),
        "peers": [(role, named[role]) for role in ROLES if named.get(role)],
        "beside": beside,
        "changed": list(_changed(own, other)) if own and other else [],
        "compared": bool(own and other),
    }


def _changed(own: dict[str, str], other: dict[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """Key, the other's value and the own one; of a part that only one has, the keys inside it."""
    for key in sorted({*own, *other}):
        opened = any(name.startswith(f"{key}.") for name in {*own, *other})
        if own.get(key) != other.get(key) and not opened:
            yield key, other.get(key), own.get(key, "left out")


def _settings(cells: Sequence[TableCell], method: str | None) -> dict[str, str]:
    records = [cell.record for cell in cells if cell.method == method and cell.record]
    return flattened(records[0].get("settings") or {}) if records else {}
