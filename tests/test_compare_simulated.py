"""`xdseg compare` on boards made of records, drawn with known effects: what it calls noise, what it finds."""

from collections.abc import Sequence
from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from test_board import CLASSES, record

from xdseg.reporting.cells_table import cells_csv, collect
from xdseg.reporting.compare import Board, compare, read_board
from xdseg.reporting.statistics.detectable import detectable
from xdseg.reporting.verdicts import Judged, judge

ALL_PAIRS = [f"{a}->{b}" for a, b in permutations("abcd", 2)]
ONE_PAIR = ["a->b"]
BOARDS = 300  # a share near 80 % is then within 7 %, one near 95 % within 4 %, at three standard errors
NOISE = 1.5  # standard deviation of a seed, in points of mIoU: the order of what tiny runs show


def board(scores: dict[tuple[str, int], float]) -> Board:
    """A board of one method from records, by pair and seed, mIoU in percent; by way of its cells.csv."""
    records = [record("m", pair, 2 * miou / 100 - 0.9, seed=seed) for (pair, seed), miou in scores.items()]
    text = cells_csv(collect([], records, suite="vessels", classes=CLASSES), CLASSES)
    return read_board(text, name="drawn", place="drawn")


def drawn(
    rng: np.random.Generator, pairs: Sequence[str], seeds: Sequence[int], *, gain: dict[str, float], noise: float
) -> Board:
    """Seeds of a method that reaches 60 % and its gain on a pair, give or take `noise`."""
    return board({(p, s): 60 + gain[p] + noise * rng.standard_normal() for p in pairs for s in seeds})


def verdicts(
    pairs: Sequence[str],
    seeds: tuple[Sequence[int], Sequence[int]],
    *,
    noise: float = NOISE,
    gain: float = 0,
    domains: float = 0,
) -> list[Judged]:
    """What is made of each of BOARDS drawn couples of boards; B gains `gain`, more or less by source and by target."""
    rng, found = np.random.default_rng(20261128), []
    for _ in range(BOARDS):
        effect = {(role, name): domains * rng.standard_normal() for role in (0, 1) for name in "abcd"}
        of_pair = {pair: gain + effect[0, pair[0]] + effect[1, pair[-1]] for pair in pairs}
        a = drawn(rng, pairs, seeds[0], gain=dict.fromkeys(pairs, 0.0), noise=noise)
        b = drawn(rng, pairs, seeds[1], gain=of_pair, noise=noise)
        found += judge(compare(a, b))
    return found


def share(found: list[Judged], verdict: str) -> float:
    return float(np.mean([one.verdict == verdict for one in found]))


@pytest.mark.parametrize("seeds", [((0, 1, 2), (3, 4, 5)), ((0, 1, 2), (0, 1, 2)), ((0,), (1,))], ids=str)
def test_two_sets_of_seeds_are_noise(seeds):
    """One method twice, on all pairs of four domains: noise on 95 % of boards at least, whatever seeds it had."""
    assert share(verdicts(ALL_PAIRS, seeds), "noise") >= 0.95


@pytest.mark.parametrize("seeds", [(range(5), range(5)), (range(3), range(3, 6))], ids=["equal seeds", "other seeds"])
def test_two_sets_of_seeds_on_one_pair_are_noise(seeds):
    """Paired t is exact, 95 % but for the draw; Welch's, its degrees rounded down, errs on the side of noise."""
    found = verdicts(ONE_PAIR, seeds)
    assert share(found, "noise") >= 0.91
    assert abs(share(found, "better") - share(found, "worse")) < 0.04, "and on neither side"


def test_several_methods_are_noise_together():
    """Four methods, each twice: that not one of them is called better or worse holds on 95 % of boards."""
    rng, clean = np.random.default_rng(20261128), 0
    for _ in range(BOARDS // 2):
        sides = []
        for _side in range(2):
            cells = {(m, s): 60 + NOISE * rng.standard_normal() for m in "mnop" for s in range(4)}
            records = [record(m, "a->b", 2 * miou / 100 - 0.9, seed=s) for (m, s), miou in cells.items()]
            text = cells_csv(collect([], records, suite="vessels", classes=CLASSES), CLASSES)
            sides.append(read_board(text, name="drawn", place="drawn"))
        clean += {one.verdict for one in judge(compare(*sides))} == {"noise"}
    assert clean / (BOARDS // 2) >= 0.91


def test_what_is_detectable_on_one_pair_is_found():
    """Five seeds, and a spread at which 2 points are the smallest detectable difference: found on 80 % of boards."""
    deviation = 2 * sqrt(5) / detectable(1, 4)
    assert detectable(deviation / sqrt(5), 4) == pytest.approx(2)
    found = verdicts(ONE_PAIR, (range(5), range(5)), noise=deviation / sqrt(2), gain=2)
    assert share(found, "better") == pytest.approx(0.8, abs=0.07)
    assert share(found, "worse") == 0


def test_what_is_detectable_over_pairs_is_found():
    """Twelve pairs whose domains differ in what they gain: where boards say that 2 points are detectable, 80 % find 2.

    What is planted is the mean; each board says for itself what is detectable, and the median of that is near 2.
    """
    found = verdicts(ALL_PAIRS, ((0, 1, 2), (0, 1, 2)), noise=1.05, gain=2, domains=0.35)
    said = float(np.median([one.line.estimate.detectable for one in found[:: BOARDS // 50]]))
    assert said == pytest.approx(2, abs=0.15)
    assert share(found, "better") == pytest.approx(0.8, abs=0.07)
    assert share(found, "worse") == 0


def test_a_planted_gain_is_no_noise_with_enough_seeds():
    """2 points on each of twelve pairs under little noise: found always."""
    assert share(verdicts(ALL_PAIRS, ((0, 1, 2), (0, 1, 2)), noise=0.5, gain=2), "better") >= 0.99
