"""Intervals, tests and differences beside scipy, hand-made cases, and definitions worked out another way."""

from itertools import chain, combinations
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from xdseg.reporting.statistics.closed import gap_closed
from xdseg.reporting.statistics.clusters import over_pairs
from xdseg.reporting.statistics.detectable import detectable, power, smallest_difference
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.hypotheses import holm, signed_ranks
from xdseg.reporting.statistics.seeds import over_seeds, paired

DIFFERENCES = [0.011, -0.004, 0.023, 0.017, 0.002, 0.008]
T_975_2 = 4.302653  # Student's t, 97.5 %, two degrees of freedom; tables


def test_three_seeds_by_hand():
    """1, 2, 3: mean 2, standard error 1 / sqrt 3, half-width 4.3027 times that."""
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.df, found.told) == (2.0, 2, "seeds, t, 2 df")
    assert found.interval == pytest.approx((2 - T_975_2 / sqrt(3), 2 + T_975_2 / sqrt(3)), rel=1e-6)


def test_seeds_agree_with_scipy():
    """Interval and p of the paired t test."""
    own, other = np.array([0.5, 0.55, 0.61, 0.47, 0.52, 0.6]), np.array([0.5, 0.55, 0.61, 0.47, 0.52, 0.6])
    theirs = stats.ttest_rel(own + DIFFERENCES, other)
    found = over_seeds(list(paired(dict(enumerate(own + DIFFERENCES)), dict(enumerate(other))).values()))
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))


def test_seeds_of_one_row_alone_do_not_pair():
    """Seeds 1 and 4 are in both, whatever the order in which they come."""
    assert paired({4: 0.5, 1: 0.3, 0: 9.0}, {1: 0.1, 2: 9.0, 4: 0.4}) == pytest.approx({1: 0.2, 4: 0.1})


@pytest.mark.parametrize(
    ("values", "mean", "reason"),
    [([], None, "no seed: no"), ([0.2], 0.2, "one seed: no"), ([0.1 + 0.2, 0.3, 0.3], 0.3, "no spread: the 3 seeds")],
)
def test_without_a_spread_there_is_no_interval(values, mean, reason):
    """One seed, none, or seeds that differ by rounding alone: a mean, no interval, no p, and the reason."""
    found = over_seeds(values)
    assert found.mean == pytest.approx(mean) and found.reason.startswith(reason)
    assert (found.interval, found.p, found.detectable, found.told) == (None, None, None, "")


def test_two_way_clusters_by_hand():
    """Sources a, b; targets x, y; gains 1, 3, 5, 7: residuals -3, -1, 1, 3.

    By source 2 * (16 + 16) / 16 = 4, by target 2 * (4 + 4) / 16 = 1, by pair 4 / 3 * 20 / 16 = 5 / 3, both
    4 + 1 - 5 / 3 = 10 / 3. The largest is 4; two domains in each role leave one degree of freedom.
    """
    found = over_pairs({("a", "x"): 1.0, ("a", "y"): 3.0, ("b", "x"): 5.0, ("b", "y"): 7.0})
    assert (found.mean, found.error, found.told) == (4.0, pytest.approx(2.0), "pairs, two-way clusters, 1 df")


def test_pairs_that_only_interact_keep_their_spread():
    """1, -1, -1, 1: sums over sources and targets are 0, both-way is negative; single pairs give 4 / 3 * 4 / 16."""
    found = over_pairs({("a", "x"): 1.0, ("a", "y"): -1.0, ("b", "x"): -1.0, ("b", "y"): 1.0})
    assert found.mean == 0 and found.error == pytest.approx(sqrt(1 / 3))


def random_gains(domains: str, *, seed: int = 0, shared: float = 0.0) -> dict[tuple[str, str], float]:
    generator = np.random.default_rng(seed)
    effects = dict(zip(domains, shared * generator.standard_normal(len(domains)), strict=True))
    pairs = [(source, target) for source in domains for target in domains if source != target]
    return {(s, t): effects[s] + effects[t] + (not shared) * generator.standard_normal() for s, t in pairs}


def test_domains_in_both_roles_count_once():
    """Gain = effect of source + effect of target, of the same domains: the mean is twice the domains' mean effect.

    So its variance is 4 times the effects' over their number, which source and target clusters alone would halve.
    """
    gains = random_gains("abcde", shared=1.0)
    effects = np.array([sum(v for pair, v in gains.items() if name in pair) for name in "abcde"]) / 6
    found = over_pairs(gains)
    assert found.error == pytest.approx(sqrt(4 * effects.var(ddof=1) / 5)) and found.df == 4


@pytest.mark.parametrize("seed", range(5))
def test_variances_agree_with_their_definition(seed):
    """Sums over pairs of pairs that share a domain, on boards of 12, and the mean without each domain, in loops."""
    gains = random_gains("abcd", seed=seed)
    pairs, values = list(gains), list(gains.values())
    mean, count = sum(values) / 12, 12

    def one_way(share, clusters: int) -> float:
        terms = [(a - mean) * (b - mean) for p, a in gains.items() for q, b in gains.items() if share(p, q)]
        return clusters / (clusters - 1) * sum(terms) / count**2

    source, target = one_way(lambda p, q: p[0] == q[0], 4), one_way(lambda p, q: p[1] == q[1], 4)
    single = one_way(lambda p, q: p == q, 12)
    left = [np.mean([gains[pair] for pair in pairs if name not in pair]) for name in "abcd"]
    jackknife = 3 / 4 * sum((one - mean) ** 2 for one in left)
    wanted = max(source, target, single, source + target - single, jackknife)
    assert over_pairs(gains).error == pytest.approx(sqrt(wanted))


def test_one_source_is_a_paired_t_over_targets():
    """Nothing can be said of other sources; over the targets it is scipy's t test."""
    found = over_pairs({("a", f"t{at}"): value for at, value in enumerate(DIFFERENCES)})
    theirs = stats.ttest_1samp(DIFFERENCES, 0)
    assert found.told == "pairs, clusters by target, 5 df" and found.p == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))
    turned = over_pairs({(f"t{at}", "a"): value for at, value in enumerate(DIFFERENCES)})
    assert turned.told == "pairs, clusters by source, 5 df" and turned.interval == pytest.approx(found.interval)


def test_the_rarer_role_gives_the_degrees_of_freedom():
    """Two sources and four targets: one degree of freedom, though there are five domains and five pairs."""
    pairs = [("d", "k"), ("d", "i"), ("i", "d"), ("d", "f")]
    assert over_pairs(dict(zip(pairs, DIFFERENCES, strict=False))).told == "pairs, two-way clusters, 1 df"


def test_a_joined_source_is_one_cluster():
    """`a+b` is a domain of its own: renamed, nothing changes."""
    gains = dict(zip(((s, t) for s in ("a", "b", "a+b") for t in "xy"), DIFFERENCES, strict=True))
    renamed = {(("z" if s == "a+b" else s), t): value for (s, t), value in gains.items()}
    assert over_pairs(gains) == over_pairs(renamed)


def test_order_and_unit_do_not_matter():
    """Shuffled, the same; times -100, mean and error follow and p stays; plus 3, the error stays."""
    gains = random_gains("abcd", seed=3)
    found, turned = over_pairs(gains), over_pairs({pair: -100 * value for pair, value in gains.items()})
    shuffled = over_pairs(dict(sorted(gains.items(), key=lambda item: item[1])))
    assert (shuffled.mean, shuffled.error) == pytest.approx((found.mean, found.error))
    assert (turned.mean, turned.error, turned.p) == pytest.approx((-100 * found.mean, 100 * found.error, found.p))
    assert over_pairs({pair: value + 3 for pair, value in gains.items()}).error == pytest.approx(found.error)


def test_pairs_without_a_spread():
    """One pair, and pairs that all gain the same."""
    assert over_pairs({("a", "b"): 0.5}).reason.startswith("one pair")
    assert over_pairs({("a", "b"): 0.5, ("b", "a"): 0.5}).reason.startswith("no spread: the 2 pairs")


def test_detectable_difference_of_textbook_designs():
    """R: power.t.test(n = 20, sd = 1, power = 0.8, type = "paired") gives delta = 0.660."""
    assert smallest_difference(1.0, 20)[0] == pytest.approx(0.660, abs=5e-4)
    assert smallest_difference(2.0, 20)[0] == pytest.approx(2 * smallest_difference(1.0, 20)[0])


@pytest.mark.parametrize("df", [2, 4, 9, 19, 100])
def test_power_agrees_with_scipy(df):
    """scipy's noncentral t, both tails."""
    critical = stats.t.isf(0.025, df)
    for shift in (0.0, 1.0, 3.0):
        theirs = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift) if shift else 0.05
        assert power(shift, df) == pytest.approx(theirs, abs=1e-5)
    assert power(detectable(1.0, df), df) == pytest.approx(0.8, abs=1e-8)


def test_three_seeds_need_twice_what_the_normal_approximation_says():
    """(1.960 + 0.842) / sqrt 3 would be 1.62 deviations; a simulated t test finds 80 % at the exact 3.26."""
    exact, _ = smallest_difference(1.0, 3)
    assert exact > 2 * (1.960 + 0.842) / sqrt(3)
    samples = np.random.default_rng(0).standard_normal((40_000, 3)) + exact
    assert (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("deviation", "count", "reason"), [(1.0, 1, "1 of at least 2"), (0.0, 5, "no spread")])
def test_no_detectable_difference_without_a_spread(deviation, count, reason):
    """Blank, with the reason."""
    value, said = smallest_difference(deviation, count)
    assert value is None and said.startswith(reason)


def test_signed_ranks_by_hand():
    """Five gains, all positive: 2 of 32 signs are as one-sided. Nothing but zeros has no ranks."""
    assert signed_ranks([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    assert signed_ranks([0.0, 0.0]) is None


def closed_test(found: dict[str, float]) -> dict[str, float]:
    """Holm by its definition: the largest Bonferroni p of all sets of hypotheses that hold the one."""
    subsets = list(chain.from_iterable(combinations(found, size) for size in range(1, len(found) + 1)))
    bonferroni = {subset: min(1.0, len(subset) * min(found[name] for name in subset)) for subset in subsets}
    return {name: max(p for subset, p in bonferroni.items() if name in subset) for name in found}


def test_holm():
    """0.01, 0.04, 0.03: 3 x 0.01, 2 x 0.03, and 0.04 not below that; and the closed test on random ones."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {} and holm({"a": 0.7}) == {"a": 0.7}
    generator = np.random.default_rng(0)
    for _ in range(20):
        found = dict(zip("abcdef", generator.random(6) ** 3, strict=True))
        assert holm(found) == pytest.approx(closed_test(found))


def test_gap_closed():
    """Half of a gap of 20 that is 20 +- 8.6; none of one that may be 0, of a negative one, of one without interval."""
    gap = Estimate(0.2, 3, "seeds, t", error=0.02, df=2)
    assert gap_closed(0.1, gap) == (0.5, "") and gap_closed(-0.1, gap) == (-0.5, "")
    for mean in (0.08, -0.2):
        noise = Estimate(mean, 3, "seeds, t", error=0.02, df=2)
        assert gap_closed(0.1, noise)[1].startswith("ceiling − floor is noise")
    single = "ceiling − floor has no interval (one seed: no spread to judge by)"
    assert gap_closed(0.1, over_seeds([0.2])) == (None, single)
