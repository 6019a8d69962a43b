"""Tests beside the interval: signed ranks, and what several methods at once do to a p."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from scipy.stats import wilcoxon

Name = TypeVar("Name", str, tuple[str, str])


def signed_ranks(values: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test (1945), 0..1; None if no value differs from 0.

    It takes the values for independent. Pairs of domains that share one are not, so its p is too small for them.
    """
    return float(wilcoxon(values).pvalue) if any(values) else None


def holm(found: Mapping[Name, float]) -> dict[Name, float]:
    """By name, p adjusted for the number of names (Holm 1979): each below 5 % keeps the chance of any error at 5 %.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none falls below the one before, or above 1.
    """
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(found, key=lambda name: (found[name], name))):
        least = max(least, min(1.0, (len(found) - place) * found[name]))
        adjusted[name] = least
    return adjusted
