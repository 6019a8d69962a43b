"""One pair: the spread over seeds."""

from collections.abc import Mapping, Sequence
from math import floor, fsum, sqrt

from xdseg.reporting.statistics.detectable import FEWEST
from xdseg.reporting.statistics.estimate import NO_SPREAD, Estimate, estimate, t_estimate

KIND, UNIT = "seeds, t", "seed"
WELCH = "seeds, Welch's t"


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of a pair's values over seeds, Student's t with n - 1 degrees of freedom."""
    return t_estimate(values, kind=KIND, unit=UNIT)


def paired(own: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    """Differences own - other of the seeds that both have, in order. Equal seeds share their draws, so they pair."""
    return {seed: own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())}


def unpaired(own: Sequence[float], other: Sequence[float]) -> Estimate:
    """own - other where no seed is in common: Welch's t, its degrees of freedom (Satterthwaite 1946) rounded down.

    Both need a value. Fewer than two on either side have no spread.
    """
    samples = [list(own), list(other)]
    count = sum(map(len, samples))
    means = [fsum(values) / len(values) for values in samples]
    difference = means[0] - means[1]
    if min(map(len, samples)) < FEWEST:
        return Estimate(difference, count, WELCH, reason=f"one {UNIT} on a side: no spread to judge by")
    parts = [
        fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
        for values, mean in zip(samples, means, strict=True)
    ]
    error = sqrt(sum(parts))
    freedom = 1 if error <= NO_SPREAD else floor(sum(parts) ** 2 / _shares(parts, samples))
    return estimate(difference, error=error, df=max(1, freedom), units=count, kind=WELCH)


def _shares(parts: Sequence[float], samples: Sequence[Sequence[float]]) -> float:
    return sum(part**2 / (len(values) - 1) for part, values in zip(parts, samples, strict=True))
