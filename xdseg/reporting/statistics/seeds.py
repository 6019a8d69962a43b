"""One pair: the spread over seeds."""

from collections.abc import Mapping, Sequence

from xdseg.reporting.statistics.estimate import Estimate, t_estimate

KIND, UNIT = "seeds, t", "seed"


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of a pair's values over seeds, Student's t with n - 1 degrees of freedom."""
    return t_estimate(values, kind=KIND, unit=UNIT)


def paired(own: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    """Differences own - other of the seeds that both have, in order. Equal seeds share their draws, so they pair."""
    return {seed: own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())}
