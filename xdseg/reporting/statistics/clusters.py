"""Gains over pairs of domains, which are not independent: pairs that share a source or a target are alike.

The variance of the mean gain is the largest of these, each from the residuals r of n pairs:

- two-way clusters, source and target (Cameron, Gelbach and Miller 2011, of a constant alone): the two one-way
  variances, less that of single pairs;
- either one-way variance, and that of single pairs: G / (G - 1) * sum over G clusters (sum of r in it)^2 / n^2;
- where a domain is both source and target, the jackknife that leaves out each domain with all its pairs (Snijders and
  Borgatti 1999, for networks): to the others a domain as source and the same domain as target are strangers.

The first alone may be 0 or less, and at few domains is often too small by chance. The usual mend, another variance
where it is not positive, still finds equal methods different on over 5 % of boards (docs/statistics.md). Student's t
has one degree of freedom less than the rarer role has domains: domains - 1 where all are both source and target. A role
with a single domain is fixed: nothing is said of other domains in it.
"""

from collections.abc import Mapping
from itertools import chain
from math import sqrt

import numpy as np

from xdseg.reporting.statistics.detectable import FEWEST
from xdseg.reporting.statistics.estimate import Estimate, estimate, t_estimate

Pair = tuple[str, str]  # source, target; a source of several domains, `a+b`, is a domain of its own
ROLES = ("source", "target")
TWO_WAY = "pairs, two-way clusters"


def over_pairs(gains: Mapping[Pair, float]) -> Estimate:
    """The mean of one value per pair, each pair counting alike; in the unit of the values."""
    pairs, values = list(gains), np.array(list(gains.values()))
    if len(pairs) < FEWEST:
        return t_estimate(values.tolist(), kind="pairs, t", unit="pair")
    roles = {role: _codes([pair[at] for pair in pairs]) for at, role in enumerate(ROLES)}
    free = {role: codes for role, codes in roles.items() if codes.max() > 0}
    variances = cluster_variances(values - values.mean(), list(free.values()))
    if {source for source, _ in pairs} & {target for _, target in pairs}:
        variances.append(jackknife_variance(pairs, values))
    return estimate(
        float(values.mean()),
        error=sqrt(max(variances)),
        df=min(int(codes.max()) for codes in free.values()),
        units=len(pairs),
        kind=TWO_WAY if len(free) == len(ROLES) else f"pairs, clusters by {next(iter(free))}",
    )


def cluster_variances(residuals: np.ndarray, labels: list[np.ndarray]) -> list[float]:
    """Variances of the mean: by single pairs, by each clustering, and of two, last, by both, which may be negative.

    Residuals (n,) sum to 0; `labels` number the clusters of one or two roles, (n,) from 0, each with at least two.
    """
    single, *one_way = (_one_way(residuals, codes) for codes in (np.arange(len(residuals)), *labels))
    two_way = [sum(one_way) - single] if len(labels) == len(ROLES) else []
    return [single, *one_way, *two_way]


def _one_way(residuals: np.ndarray, codes: np.ndarray) -> float:
    sums = np.bincount(codes, weights=residuals)
    clusters = len(sums)
    return float(clusters / (clusters - 1) * (sums**2).sum() / len(residuals) ** 2)


def jackknife_variance(pairs: list[Pair], values: np.ndarray) -> float:
    """Variance of the mean from leaving out each domain's pairs in turn; 0 where fewer than two can be left out.

    A domain that all pairs share stays: without it none would be left.
    """
    member = np.array([[domain in pair for pair in pairs] for domain in sorted(set(chain.from_iterable(pairs)))])
    kept = len(pairs) - member.sum(axis=1)
    if (kept > 0).sum() < FEWEST:
        return 0.0
    without = (values.sum() - member @ values)[kept > 0] / kept[kept > 0]
    return float((1 - 1 / len(without)) * ((without - values.mean()) ** 2).sum())


def _codes(names: list[str]) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1]
