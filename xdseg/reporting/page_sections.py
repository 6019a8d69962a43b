"""Sections of a card: a title, and rows of (label, value) or (label, value, kind)."""

from collections.abc import Iterable
from typing import Any

Section = dict[str, Any]  # title, rows
MONO, COPY = "mono", "copy"  # kinds of a value: digests and paths; commands


def section(title: str, rows: Iterable[tuple], *, folded: bool = False) -> Section:
    """Rows without a value are left out."""
    shown = [[str(part) for part in row] for row in rows if row[1] not in (None, "")]
    return {"title": title, "rows": shown} | ({"folded": True} if folded else {})
