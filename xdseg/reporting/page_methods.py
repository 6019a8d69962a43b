"""The rows of a page: their numbers as texts, and what each method is."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_table import signed
from xdseg.reporting.leaderboard import Row, dice_texts, millions
from xdseg.reporting.page_cards import flattened
from xdseg.reporting.page_costs import Cost
from xdseg.reporting.page_facets import UNKNOWN
from xdseg.reporting.seeds import half, span
from xdseg.reporting.text import percent
from xdseg.settings.methods import ROLES


def row_of(
    row: Row, cells: Sequence[TableCell], gain: Gain | None, *, colour: int, cost: Cost | None
) -> dict[str, Any]:
    """One line of the table of methods; `cells` are the row's own."""
    interval = gain.estimate.interval if gain else None
    return {
        "row": row,
        "colour": colour,
        "miou": percent(row.miou),
        "last": percent(row.last_class),
        "dice": dice_texts(row),
        "gain": gain,
        "gain_text": signed(gain.mean) if gain else "",
        "interval": " to ".join(map(signed, interval)) if interval else "",
        "apart": _sign(interval),
        "spread": half(row.spread),
        "seeds": _seeds(row, cells),
        "minutes": cost.per_run if cost else "",
        "parameters": millions(row.parameters),
        "complete": row.miou is not None,
    }


def _sign(interval: tuple[float, float] | None) -> str:
    """`up` or `down` where an interval does not hold 0: elsewhere a colour would claim what the tests do not."""
    low, high = interval or (0, 0)
    return "up" if low > 0 else "down" if high < 0 else ""


def _seeds(row: Row, cells: Sequence[TableCell]) -> str:
    """Seeds a pair that have a value; of how many, where some that are wanted have none."""
    wanted = span(Counter(cell.pair for cell in cells if cell.pair in row.by_pair).values())
    lacking = any(cell.miou is None for cell in cells)
    return f"{row.told_seeds} of {wanted}" if lacking else row.told_seeds


def method_of(
    row: Row, cells: Mapping[str, Sequence[TableCell]], about: About, *, facets: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """What a method is, and what it does otherwise than its host (else its floor); `cells` are by method."""
    beside, _ = about.peer(row.method) or (None, None)
    own, other = _settings(cells, row.method), _settings(cells, beside)
    named = about.peers.get(row.method, {})
    return {
        "row": row,
        "parts": about.parts.get(row.method, ""),
        "starts": "" if facets["pretraining"] == UNKNOWN else ", ".join(facets["pretraining"]),
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


def _settings(cells: Mapping[str, Sequence[TableCell]], method: str | None) -> dict[str, str]:
    record = next((cell.record for cell in cells.get(method or "", ()) if cell.record), {})
    return flattened(record.get("settings") or {})
