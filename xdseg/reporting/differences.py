"""What one board's scores are above another's, pair by pair, and the estimate over these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum

from xdseg.reporting.statistics.clusters import over_pairs
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.seeds import over_seeds, paired, unpaired

DECIMALS = 2
Pair = tuple[str, str]  # source, target
Scores = Mapping[Pair, Mapping[int, float]]  # by pair and seed


@dataclass(frozen=True)
class Difference:
    """B - A on one pair: by the seeds that both have; else, `by_seed` empty, of their means over seeds."""

    by_seed: dict[int, float]
    estimate: Estimate


def differences(a: Scores, b: Scores) -> dict[Pair, Difference]:
    """On every pair that has a value in both."""
    return {pair: _difference(a[pair], b[pair]) for pair in a if pair in b}


def _difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    by_seed = {seed: round(value, DECIMALS) for seed, value in paired(b, a).items()}
    estimate = over_seeds([*by_seed.values()]) if by_seed else unpaired([*b.values()], [*a.values()])
    return Difference(by_seed, estimate)


def estimated(found: Mapping[Pair, Difference]) -> Estimate:
    """Over pairs, each counting alike; over the seeds where there is one pair."""
    if not found:
        return Estimate(None, 0, "pairs", reason="nothing in common")
    if len(found) == 1:
        return next(iter(found.values())).estimate
    return over_pairs({pair: difference.estimate.mean for pair, difference in found.items()})


def together(methods: Iterable[Mapping[Pair, Difference]]) -> dict[Pair, Difference]:
    """The mean over methods on every pair, of the methods that have a value on it in both boards.

    Over the seeds that all these have in both; without such a seed, of their means, which then have no spread.
    """
    by_pair: dict[Pair, list[Difference]] = {}
    for one in methods:
        for pair, difference in one.items():
            by_pair.setdefault(pair, []).append(difference)
    return {pair: _mean(own) for pair, own in by_pair.items()}


def _mean(own: list[Difference]) -> Difference:
    seeds = sorted(set.intersection(*({*one.by_seed} for one in own)))
    by_seed = {seed: fsum(one.by_seed[seed] for one in own) / len(own) for seed in seeds}
    if by_seed:
        return Difference(by_seed, over_seeds([*by_seed.values()]))
    value = fsum(one.estimate.mean for one in own) / len(own)
    return Difference({}, Estimate(value, len(own), "methods", reason="no seed that all methods have in both"))
