"""What papers report on a board's pairs, beside what was reproduced here.

Domains are matched by name, methods by name without signs and case and by setting; nothing is guessed beyond that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xdseg.published import Published, read
from xdseg.reporting.leaderboard import Row, mean
from xdseg.reporting.text import ARROW, percent

SETTINGS = {"uda": "uda", "dg": "source", "source-only": "source", "oracle": "oracle"}  # published: ours
SIGNS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Beside:
    """One published number, and ours of the row of that name if the board has one."""

    pair: str
    row: Published
    miou: str
    method: str  # ours, or empty
    ours: str  # in percent, or empty

    @property
    def split(self) -> str:
        """Split and classes that the published number is of."""
        return ", ".join(filter(None, (self.row.target_split, f"{self.row.class_subset} classes")))

    @property
    def known(self) -> str:
        """How the number is known."""
        return ", ".join(filter(None, (self.row.paper, str(self.row.year or ""), "+".join(self.row.provenance))))


def beside(rows: Sequence[Row]) -> list[Beside]:
    """Confirmed published numbers on the board's pairs, by pair, best first; none if no paper has these pairs."""
    pairs = set(rows[0].by_pair)
    ours = {(_plain(row.method), row.setting): row for row in rows}
    found = []
    for published in read():
        wanted = [(published.source, part) for part in published.parts]
        if pairs.issuperset(wanted):
            own = ours.get((_plain(published.method), SETTINGS[published.setting]))
            found.append(_beside(published, wanted, own))
    return sorted(found, key=lambda line: (line.pair, -line.row.miou, line.row.method, line.row.backbone))


def _beside(published: Published, pairs: Sequence[tuple[str, str]], own: Row | None) -> Beside:
    spread = f" ± {published.std}" if published.std is not None else ""
    return Beside(
        pair=f"{published.source} {ARROW} {published.target}",
        row=published,
        miou=f"{published.miou}{spread}",
        method=own.method if own else "",
        ours=percent(mean(own.by_pair[pair] for pair in pairs)) if own else "",
    )


def _plain(name: str) -> str:
    return SIGNS.sub("", name.lower())
