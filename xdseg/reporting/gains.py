"""Gains: what a row has over the row it names, pair by pair and over the pairs, with its uncertainty."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.leaderboard import Row, mean
from xdseg.reporting.statistics.closed import gap_closed
from xdseg.reporting.statistics.clusters import over_pairs
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.hypotheses import holm, signed_ranks
from xdseg.reporting.statistics.seeds import over_seeds, paired
from xdseg.reporting.text import ARROW

Pair = tuple[str, str]
Values = Mapping[int, float | None]  # by seed, of the cells that the grid wants; None where one has no value
Scored = Mapping[tuple[str, Pair], Values]  # by method and pair
ENDS = ("floor", "ceiling")  # roles of the two rows between which a gap lies
NO_COMMON_SEED = "no share of a gap: on some pair it has no seed in common with floor and ceiling"
NAMED = 2  # cells whose absence a note names; of more it gives the number
FEWEST_PAIRS = 2  # over which a gain is averaged; on one pair it is averaged over seeds


@dataclass(frozen=True)
class Gain:
    """A row against the one it names. Values are differences of fractions 0..1."""

    against: str
    role: str  # host or floor
    by_seed: Mapping[Pair, Mapping[int, float]]  # every pair of the board: seeds that have a value in both rows
    by_pair: Mapping[Pair, float | None]  # mean over these seeds; None without one
    estimate: Estimate  # over the pairs of the board, over the seeds if it has one pair; none where a row lacks a cell
    lacking: tuple[str, ...] = ()  # cells that one of the rows lacks, in words
    holm: float | None = None  # p of the estimate, adjusted over the methods of the board
    closed: float | None = None  # share of the gap from floor to ceiling
    not_closed: str = ""  # why there is none, if the row names both

    @property
    def values(self) -> list[float]:
        """Gains on the pairs that both have."""
        return [value for value in self.by_pair.values() if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the pairs of the board; None where either row lacks a cell."""
        return self.estimate.mean

    @property
    def wilcoxon(self) -> float | None:
        """p of Wilcoxon's test over the pairs, as if they were independent."""
        return None if self.lacking or len(self.by_seed) < FEWEST_PAIRS else signed_ranks(self.values)

    @property
    def better(self) -> int:
        """Pairs on which the row is the better one."""
        return sum(value > 0 for value in self.values)


def gains(
    rows: Sequence[Row],
    cells: Sequence[TableCell],
    about: About,
    *,
    score: Callable[[TableCell], float | None] = lambda cell: cell.miou,
) -> dict[str, Gain]:
    """By method, of those whose host (else floor) has a row on this board, in the order of the rows.

    `score` is what counts of a cell, 0..1; None where it has none.
    """
    known, found, scored = {row.method for row in rows}, {}, scored_by_seed(cells, score)
    for row in rows:
        peer = about.peer(row.method)
        if peer and peer[0] in known and not row.entered:
            found[row.method] = _with_gap(against(row.method, peer, row.by_pair, scored), row.method, scored, about)
    adjusted = holm({method: gain.estimate.p for method, gain in found.items() if gain.estimate.p is not None})
    return {method: replace(gain, holm=adjusted.get(method)) for method, gain in found.items()}


def against(method: str, peer: tuple[str, str], pairs: Iterable[Pair], scored: Scored) -> Gain:
    """`method` against the named row on `pairs`: differences of equal pair and seed.

    Seeds that the grid wants of one row alone do not count; of those that it wants of both, none may lack.
    """
    by_seed, lacking = {}, []
    for pair in pairs:
        own, other = (scored.get((name, pair), {}) for name in (method, peer[0]))
        by_seed[pair] = paired(_valued(own), _valued(other))
        if lacks := _lacking({method: own, peer[0]: other}):
            lacking.append(f"{f' {ARROW} '.join(pair)} ({', '.join(lacks)})")
    by_pair = {pair: mean(values.values()) for pair, values in by_seed.items()}
    return Gain(*peer, by_seed, by_pair, _estimate(by_seed, by_pair, lacking), tuple(lacking))


def _estimate(
    by_seed: Mapping[Pair, Mapping[int, float]], by_pair: Mapping[Pair, float | None], lacking: Sequence[str]
) -> Estimate:
    if lacking:
        known = sum(value is not None for value in by_pair.values())
        return Estimate(None, known, "pairs", reason=f"lacks {'; '.join(lacking)}")
    if len(by_seed) < FEWEST_PAIRS:
        return over_seeds([value for values in by_seed.values() for value in values.values()])
    return over_pairs(by_pair)


def scored_by_seed(
    cells: Sequence[TableCell], score: Callable[[TableCell], float | None] = lambda cell: cell.miou
) -> Scored:
    """What counts of each cell, 0..1, by method and pair, then seed; None where it has no value."""
    found: dict[tuple[str, Pair], dict[int, float | None]] = {}
    for cell in cells:
        found.setdefault((cell.method, cell.pair), {})[cell.seed] = score(cell)
    return found


def _valued(values: Values) -> dict[int, float]:
    return {seed: value for seed, value in values.items() if value is not None}


def _lacking(values: Mapping[str, Values]) -> list[str]:
    """What keeps two rows from having the same cells on a pair."""
    if empty := [name for name, seeds in values.items() if not seeds]:
        return [f"no such cell of {name}" for name in empty]
    both = sorted(set.intersection(*({*seeds} for seeds in values.values())))
    lacks = [f"seed {seed} of {name}" for name in values for seed in both if values[name][seed] is None]
    return lacks if both else ["no seed in common"]


def _with_gap(gain: Gain, method: str, scored: Scored, about: About) -> Gain:
    """The gain with the share of the gap that the method closes, where the board has its floor and its ceiling."""
    floor, ceiling = named = [about.peers.get(method, {}).get(role) for role in ENDS]
    if not floor or not ceiling:
        return gain
    known = {name for name, _ in scored}
    if absent := [role for role, name in zip(ENDS, named, strict=True) if name not in known]:
        return replace(gain, not_closed=f"no share of a gap: the board has no row of the {' and the '.join(absent)}")
    own = gain if gain.against == floor else against(method, (floor, "floor"), gain.by_seed, scored)
    gap = against(ceiling, (floor, "floor"), gain.by_seed, scored)
    if own.lacking or gap.lacking:
        return replace(gain, not_closed=f"gap lacks {_named(own.lacking or gap.lacking)}")
    shared = {pair: own.by_seed[pair].keys() & gap.by_seed[pair].keys() for pair in gain.by_seed}
    if not all(shared.values()):
        return replace(gain, not_closed=NO_COMMON_SEED)
    closed, reason = gap_closed(_on(own, shared).mean, _on(gap, shared))
    return replace(gain, closed=closed, not_closed=reason)


def _on(gain: Gain, seeds: Mapping[Pair, AbstractSet[int]]) -> Estimate:
    """The estimate of a gain that lacks no cell, on these seeds alone."""
    by_seed = {p: {seed: value for seed, value in own.items() if seed in seeds[p]} for p, own in gain.by_seed.items()}
    if by_seed == gain.by_seed:
        return gain.estimate
    return _estimate(by_seed, {pair: mean(values.values()) for pair, values in by_seed.items()}, ())


def _named(cells: Sequence[str]) -> str:
    """The first ones by name, the others by number."""
    more = f"; and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    return "; ".join(cells[:NAMED]) + more
