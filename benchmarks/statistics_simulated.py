"""Made-up boards and images whose truth is known, and how often the project's intervals hold it.

A board: gain of source s, target t = u[s] + v[t] + noise, without a mean; u and v have the strengths of an `Arm`, and
with `likeness` 1 a domain has one effect in both roles. Images: scenes of five classes, the last in a quarter of the
images, whose confusion two methods make with a difficulty that they share; the truth is a population of 200,000.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import sqrt

import numpy as np
from scipy.stats import t

from xdseg.reporting.statistics.bootstrap import Resampling, mean_iou, overlaps
from xdseg.reporting.statistics.clusters import Pair, cluster_variances, over_pairs
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.images import over_images
from xdseg.reporting.statistics.ranks import Comparison, separated
from xdseg.reporting.statistics.seeds import over_seeds

CLASSES = 5
POPULATION = 200_000  # images
PIXELS = 10_000  # of an image
PRESENCE = (1, 1, 0.8, 0.4, 0.25)  # of each class, share of the images
SHARE = (4, 3, 1.5, 0.6, 0.4)  # shape of the gamma that a present class's pixels come from
RECALL = (2.5, 2, 1, 0.5, 0)  # logit of each class's recall
CONFUSED = (3, 2, 1, 0.5, 0.5)  # what a missed pixel is called, relative
BETTER = 0.25  # that the second method adds to the logits
HARD, SCATTER = 0.8, 0.6  # deviation of the logits: of an image, shared by methods and classes, and of each
BASE = "abcdefgh"  # names of domains
SHARED = 50  # samples of images that share their draws


@dataclass(frozen=True)
class Arm:
    """How strongly domains matter beside noise of deviation 1."""

    name: str
    source: float = 0
    target: float = 0
    likeness: float = 0  # correlation of a domain's two effects


ARMS = (
    Arm("noise alone"),
    Arm("of the source", source=1),
    Arm("of the target", target=1),
    Arm("of both", source=1, target=1),
    Arm("of both, strong", source=3, target=3),
    Arm("of the source alone, strong", source=3),
    Arm("one effect in both roles", source=1, target=1, likeness=1),
    Arm("one effect in both roles, strong", source=3, target=3, likeness=1),
)


def crossed(domains: int) -> list[Pair]:
    """All ordered pairs."""
    return [(source, target) for source in BASE[:domains] for target in BASE[:domains] if source != target]


def boards(arm: Arm, pairs: list[Pair], *, number: int, seed: int) -> np.ndarray:
    """Gains (number, pairs) of methods that are equal in the mean."""
    generator, names = np.random.default_rng(seed), sorted({name for pair in pairs for name in pair})
    sources, targets = ([names.index(pair[role]) for pair in pairs] for role in (0, 1))
    own, other, noise = (generator.standard_normal((number, size)) for size in (len(names), len(names), len(pairs)))
    other = arm.likeness * own + sqrt(1 - arm.likeness**2) * other
    return arm.source * own[:, sources] + arm.target * other[:, targets] + noise


Test = Callable[[list[Pair], np.ndarray], float]  # p of a board's gains


def ours(pairs: list[Pair], gains: np.ndarray) -> float:
    """As boards have it."""
    return over_pairs(dict(zip(pairs, gains, strict=True))).p


def plain_two_way(pairs: list[Pair], gains: np.ndarray) -> float:
    """Two-way clusters; the larger one-way variance only where theirs is not positive."""
    labels = [np.unique([pair[role] for pair in pairs], return_inverse=True)[1] for role in (0, 1)]
    _, *one_way, both = cluster_variances(gains - gains.mean(), labels)
    df = min(codes.max() for codes in labels)
    return float(2 * t.sf(abs(gains.mean()) / sqrt(both if both > 0 else max(one_way)), df))


def independent(pairs: list[Pair], gains: np.ndarray) -> float:
    """Paired t, as if pairs were independent."""
    return over_seeds(gains.tolist()).p


def false_positives(test: Test, arm: Arm, pairs: list[Pair], *, number: int, seed: int = 0) -> float:
    """Share, 0..1, of boards of equal methods on which `test` finds a difference at 5 %."""
    found = [test(pairs, gains) < 0.05 for gains in boards(arm, pairs, number=number, seed=seed)]
    return float(np.mean(found))


Compare = Callable[[Mapping[Pair, float]], Estimate]  # of one difference per pair


def told_apart(compare: Compare, scores: Mapping[str, Mapping[Pair, float]]) -> frozenset[Comparison]:
    """(better, worse) of the methods of one board, from their scores by pair, as ranks have it."""
    differences = {
        (a, b): compare({pair: scores[a][pair] - scores[b][pair] for pair in scores[a]})
        for a, b in combinations(sorted(scores), 2)
    }
    return separated(differences)


def lost_ranks(compare: Compare, arm: Arm, pairs: list[Pair], *, methods: int, number: int) -> float:
    """Share, 0..1, of boards of equal methods, each with effects of its own, on which any of them loses a rank."""
    made = [boards(arm, pairs, number=number, seed=seed) for seed in range(methods)]
    lost = 0
    for at in range(number):
        scores = {str(name): dict(zip(pairs, values[at], strict=True)) for name, values in enumerate(made)}
        lost += bool(told_apart(compare, scores))
    return lost / number


def unclustered(gains: Mapping[Pair, float]) -> Estimate:
    """A paired t test's, as if pairs were independent."""
    return over_seeds(list(gains.values()))


def images(number: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Confusion (N, K, K), whole numbers, of two methods on the same images."""
    present = generator.random((number, CLASSES)) < PRESENCE
    share = generator.gamma(SHARE, size=(number, CLASSES)) * present
    truth = PIXELS * share / share.sum(axis=1, keepdims=True)
    hard = HARD * generator.standard_normal((number, 1))
    called = np.tile(CONFUSED, (CLASSES, 1)) * (1 - np.eye(CLASSES))
    called /= called.sum(axis=1, keepdims=True)
    made = []
    for better in (0, BETTER):
        logits = np.array(RECALL) + better + hard + SCATTER * generator.standard_normal((number, CLASSES))
        recall = 1 / (1 + np.exp(-logits))[:, :, None]
        made.append(np.rint(truth[:, :, None] * (recall * np.eye(CLASSES) + (1 - recall) * called)))
    return made[0], made[1]


def miou(made: np.ndarray, draws: Resampling) -> np.ndarray:
    """Replicates (R,) of the mIoU of counts (N, K, K), all classes kept."""
    return mean_iou(draws.totals(overlaps(made, kept=range(CLASSES), rows=range(CLASSES))))


@cache
def truths() -> tuple[float, float]:
    """mIoU of the first method, and what the second has over it, on the population."""
    pooled = (
        overlaps(made, kept=range(CLASSES), rows=range(CLASSES)).sum(axis=2)
        for made in images(POPULATION, np.random.default_rng(1))
    )
    first, second = (float(mean_iou(totals[:, :, None])[0]) for totals in pooled)
    return first, second - first


def image_coverage(size: int, *, number: int, replicates: int, seed: int = 0) -> tuple[float, float]:
    """Share, 0..1, of samples of `size` images whose interval holds the true mIoU, and the true gain.

    Below 20 images boards give no interval; here it is as it would be. A few samples share their draws, to save time:
    drawing depends on no image.
    """
    generator, held = np.random.default_rng(seed), np.zeros((number, 2))
    for at in range(number):
        if at % SHARED == 0:
            names = tuple(f"{seed} {at} {image}" for image in range(size))
            draws = Resampling(names, replicates)
        first, second = (miou(made, draws) for made in images(size, generator))
        for which, (found, true) in enumerate(zip((first, second - first), truths(), strict=True)):
            about = over_images(found, size, fewest=2)
            held[at, which] = about.low <= true <= about.high
    return float(held[:, 0].mean()), float(held[:, 1].mean())


def seed_coverage(size: int, *, number: int, seed: int = 0) -> float:
    """Share, 0..1, of samples of `size` normal values whose t interval holds the true mean."""
    samples = np.random.default_rng(seed).standard_normal((number, size))
    found = [over_seeds(sample.tolist()).interval for sample in samples]
    return float(np.mean([low <= 0 <= high for low, high in found]))
