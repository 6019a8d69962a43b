"""A mean with its t interval, or the reason why it has none."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import fsum, sqrt

from scipy.stats import t

from xdseg.reporting.statistics.detectable import FEWEST, detectable

CONFIDENCE = 0.95  # of every interval
NO_SPREAD = 1e-12  # standard errors below this are rounding, as of differences that are all equal


@dataclass(frozen=True)
class Estimate:
    """A mean in the unit of its values. Without `error` there is no interval, and `reason` says why."""

    mean: float | None
    units: int
    kind: str  # how it was found, as a table says it: `seeds, t`
    error: float | None = None  # standard error of the mean
    df: int | None = None
    reason: str = ""

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end of the 95 % interval."""
        if self.error is None:
            return None
        half = _critical(self.df) * self.error
        return self.mean - half, self.mean + half

    @cached_property
    def p(self) -> float | None:
        """Two-sided p of a mean of 0, 0..1."""
        return None if self.error is None else float(2 * t.sf(abs(self.mean) / self.error, self.df))

    @cached_property
    def detectable(self) -> float | None:
        """The smallest true mean that would be found different from 0 with 80 % probability, given this error."""
        return None if self.error is None else detectable(self.error, self.df)

    @property
    def told(self) -> str:
        """The kind with its degrees of freedom: `seeds, t, 2 df`; empty without an interval."""
        return "" if self.error is None else f"{self.kind}, {self.df} df"


@lru_cache
def _critical(df: int) -> float:
    return float(t.ppf((1 + CONFIDENCE) / 2, df))


def estimate(mean: float, *, error: float, df: int, units: int, kind: str) -> Estimate:
    """An estimate whose interval is left out where the values do not differ: they show no spread to judge by."""
    if error <= NO_SPREAD:
        return Estimate(mean, units, kind, reason=f"no spread: the {units} {kind.partition(',')[0]} give one value")
    return Estimate(mean, units, kind, error, df)


def t_estimate(values: Sequence[float], *, kind: str, unit: str) -> Estimate:
    """Mean of independent values with n - 1 degrees of freedom; fewer than two have no interval.

    `kind` and `unit` word the result: `seeds, t` and `seed`.
    """
    count = len(values)
    if count < FEWEST:
        mean = values[0] if values else None
        return Estimate(mean, count, kind, reason=f"{f'one {unit}' if values else f'no {unit}'}: no spread to judge by")
    mean = fsum(values) / count
    deviation = sqrt(fsum((value - mean) ** 2 for value in values) / (count - 1))
    return estimate(mean, error=deviation / sqrt(count), df=count - 1, units=count, kind=kind)
