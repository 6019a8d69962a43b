"""Ranks of methods over pairs of domains, and which methods those pairs can tell apart.

Every two methods are compared by their mean difference over the pairs, with the variance that `clusters` allows for
shared domains; Holm's adjustment over all comparisons keeps the chance that any of them is wrong at 5 %. All statements
below therefore hold together: a method's rank is at least 1 + those found better, at most K - those found worse.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from scipy.stats import rankdata

from xdseg.reporting.statistics.detectable import SIZE
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.hypotheses import holm

Comparison = tuple[str, str]  # two methods; the first is better where the difference is above 0


def average_ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, 1 for the highest; equal values share the mean of their places."""
    return rankdata([-value for value in values]).tolist()


def separated(found: Mapping[Comparison, Estimate]) -> frozenset[Comparison]:
    """(better, worse) of the comparisons that are significant at 5 % after Holm's adjustment over those with a p.

    `found` holds every two methods once. A comparison without an interval separates nothing.
    """
    adjusted = holm({names: about.p for names, about in found.items() if about.p is not None})
    return frozenset(
        names if found[names].mean > 0 else names[::-1] for names, adjusted_p in adjusted.items() if adjusted_p < SIZE
    )


def rank_interval(name: str, names: Collection[str], apart: AbstractSet[Comparison]) -> tuple[int, int]:
    """Lowest and highest rank that the comparisons leave open to one of `names`."""
    better, worse = (sum(pair[at] == name for pair in apart) for at in (1, 0))
    return 1 + better, len(names) - worse


def not_separable(names: Collection[str], apart: AbstractSet[Comparison]) -> dict[str, set[str]]:
    """By name, the others that it is not apart from."""
    return {a: {b for b in names if b != a and not {(a, b), (b, a)} & apart} for a in names}


def groups(names: Sequence[str], apart: AbstractSet[Comparison]) -> list[tuple[str, ...]]:
    """The largest sets of two and more names of which no two are apart, each in the order of `names`.

    A name can be in several: that a is not separable from b, nor b from c, says nothing of a and c.
    """
    place = {name: number for number, name in enumerate(names)}
    cliques = _cliques(not_separable(names, apart), frozenset(), frozenset(names), frozenset())
    found = [tuple(sorted(clique, key=place.__getitem__)) for clique in cliques if len(clique) > 1]
    return sorted(found, key=lambda group: [place[name] for name in group])


def _cliques(
    alike: Mapping[str, set[str]], chosen: frozenset[str], open_: frozenset[str], seen: frozenset[str]
) -> Iterator[frozenset[str]]:
    """Maximal cliques that hold `chosen` and more of `open_`, none of `seen` (Bron and Kerbosch 1973, with a pivot)."""
    if not open_ and not seen:
        yield chosen
        return
    pivot = max(sorted(open_ | seen), key=lambda name: len(alike[name] & open_))
    for name in sorted(open_ - alike[pivot]):
        yield from _cliques(alike, chosen | {name}, open_ & alike[name], seen & alike[name])
        open_, seen = open_ - {name}, seen | {name}
