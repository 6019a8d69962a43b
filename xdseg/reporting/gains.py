"""Gains: what a row has over the row it names, pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdseg.reporting.about import About
from xdseg.reporting.leaderboard import Row, mean


@dataclass(frozen=True)
class Gain:
    """A row against the one it names. Values are differences of fractions 0..1."""

    against: str
    role: str  # host or floor
    by_pair: Mapping[tuple[str, str], float | None]  # None where either has no value

    @property
    def values(self) -> list[float]:
        """Differences on the pairs that both have."""
        return [value for value in self.by_pair.values() if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the pairs that both have; None if they share none."""
        return mean(self.values)

    @property
    def better(self) -> int:
        """Pairs on which the row is the better one."""
        return sum(value > 0 for value in self.values)


def gains(rows: Sequence[Row], about: About) -> dict[str, Gain]:
    """By method, of those whose host (else floor) has a row on this board."""
    by_method = {row.method: row for row in rows}
    found = {}
    for row in rows:
        peer = about.peer(row.method)
        if peer and peer[0] in by_method and not row.entered:
            other = by_method[peer[0]].by_pair
            found[row.method] = Gain(*peer, {pair: _less(row.by_pair[pair], other[pair]) for pair in row.by_pair})
    return found


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
