"""Ranks: where each method of a board stands over its pairs, and which others it cannot be told from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import fsum

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import FEWEST_PAIRS, against, scored_by_seed
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.statistics import ranks as statistics
from xdseg.reporting.text import ARROW

CEILING = "oracle"  # setting of rows that learn from the target's labels alone
FEWEST_METHODS = 2


@dataclass(frozen=True)
class Standing:
    """One ranked method."""

    method: str
    mean_rank: float  # over the pairs; 1 is the best on each of them
    low: int  # the ranks by mean mIoU that the comparisons leave open
    high: int
    alike: tuple[str, ...]  # not separable from it, in the order of the standings

    @property
    def alone(self) -> int | None:
        """The one rank that is left to it; None where there are several."""
        return self.low if self.low == self.high else None

    @property
    def open(self) -> str:
        """The ranks that are left to it, as `1–19`, or the one."""
        return str(self.low) if self.alone else f"{self.low}–{self.high}"


@dataclass(frozen=True)
class Ranks:
    """The methods that can be ranked, by mean rank; none, and `reason`, where a board is too small for it."""

    standings: tuple[Standing, ...] = ()
    pairs: int = 0  # that each of them has
    best: str = ""  # method of the highest mean mIoU among them
    groups: tuple[tuple[str, ...], ...] = ()  # largest sets of which no two are separable
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)  # method: pairs that are scored, why
    reason: str = ""

    def tied(self, standing: Standing) -> bool:
        """Is it the best, or not separable from it?"""
        return self.best in (standing.method, *standing.alike)

    def alone(self, rank: int) -> str | None:
        """The method to which the comparisons leave that rank and no other."""
        return next((standing.method for standing in self.standings if standing.alone == rank), None)


def ranks(rows: Sequence[Row], cells: Sequence[TableCell]) -> Ranks:
    """Ranks of the board's rows, which come by mean mIoU, highest first.

    Ranked are rows with every cell of every pair; ceilings are bounds, and no competitors. On each pair methods are
    ranked by mIoU, the mean over seeds. Two are compared as a gain is: on equal pairs and seeds (`gains.against`).
    """
    left_out = {row.method: (row.scored, why) for row in rows if (why := _left_out(row))}
    ranked = [row for row in rows if row.method not in left_out]
    if reason := _too_small(len(rows[0].by_pair), len(ranked)):
        return Ranks(left_out=left_out, reason=reason)
    means, apart = _mean_ranks(ranked), _separated(ranked, cells)
    names = sorted(means, key=means.__getitem__)  # stable: of equal mean ranks the higher mIoU comes first
    alike = statistics.not_separable(names, apart)
    standings = [
        Standing(
            name,
            means[name],
            *statistics.rank_interval(name, names, apart),
            alike=tuple(other for other in names if other in alike[name]),
        )
        for name in names
    ]
    return Ranks(
        tuple(standings), len(ranked[0].by_pair), ranked[0].method, tuple(statistics.groups(names, apart)), left_out
    )


def _too_small(pairs: int, methods: int) -> str:
    """Why a board has no ranks; empty if it has."""
    if pairs < FEWEST_PAIRS:
        return f"as they need {FEWEST_PAIRS} pairs of domains and this board has {pairs}"
    few = methods < FEWEST_METHODS
    return f"as they need {FEWEST_METHODS} methods with every cell and this board has {methods}" if few else ""


def _left_out(row: Row) -> str:
    """Why a row is not ranked; empty if it is."""
    lacking = [f" {ARROW} ".join(pair) for pair, value in row.by_pair.items() if value is None]
    if row.setting == CEILING:
        return "a ceiling: it learns from the target's labels"
    return f"lacks {', '.join(lacking)}" if lacking else ""


def _mean_ranks(rows: Sequence[Row]) -> dict[str, float]:
    """By method, the mean over the pairs of its rank on each."""
    by_pair = [statistics.average_ranks([row.by_pair[pair] for row in rows]) for pair in rows[0].by_pair]
    by_method = zip(*by_pair, strict=True)
    return {row.method: fsum(places) / len(places) for row, places in zip(rows, by_method, strict=True)}


def _separated(rows: Sequence[Row], cells: Sequence[TableCell]) -> frozenset[statistics.Comparison]:
    """(better, worse) of every two rows that the board's pairs tell apart."""
    scored, found = scored_by_seed(cells), {}
    for one, other in combinations(rows, 2):
        difference = against(one.method, (other.method, "compared"), one.by_pair, scored)
        found[one.method, other.method] = difference.estimate
    return statistics.separated(found)
