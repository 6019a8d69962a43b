"""The bootstrap over images: by hand, mIoU as the metric has it, draws that methods share, by recording, with scipy."""

from hashlib import sha256

import numpy as np
import pytest
from scipy import stats

from xdseg.evaluation.scores import scored_rows, scores
from xdseg.reporting.statistics.bootstrap import Resampling, mean_iou, overlaps, recordings
from xdseg.reporting.statistics.images import over_images


def counts(images: int, *, classes: int = 4, columns: int | None = None, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 50, (images, classes, columns or classes))


def named(images: int) -> tuple[str, ...]:
    return tuple(f"{at:03}" for at in range(images))


def replicates(per_image: np.ndarray, draws: Resampling, *, kept=range(4), rows=range(4)) -> np.ndarray:
    return mean_iou(draws.totals(overlaps(per_image, kept=kept, rows=rows)))


def test_three_images_by_hand():
    """Ten ways to draw three of three, each mIoU worked out here, and as often as it should be: 1, 3 or 6 of 27."""
    # pixels of class 0 called 0 and 1, of class 1 called 0 and 1; the third image has no class 1
    per_image = np.array([[[6, 2], [0, 2]], [[4, 0], [4, 2]], [[5, 5], [0, 0]]])
    by_hand = {  # how often each is drawn: IoU of class 0 and of class 1, from pooled counts
        (3, 0, 0): (18 / 24, 6 / 12, 1),
        (0, 3, 0): (12 / 24, 6 / 18, 1),
        (0, 0, 3): (15 / 30, 0 / 15, 1),
        (2, 1, 0): (16 / 24, 6 / 14, 3),
        (2, 0, 1): (17 / 26, 4 / 13, 3),
        (1, 2, 0): (14 / 24, 6 / 16, 3),
        (0, 2, 1): (13 / 26, 4 / 17, 3),
        (1, 0, 2): (16 / 28, 2 / 14, 3),
        (0, 1, 2): (14 / 28, 2 / 16, 3),
        (1, 1, 1): (15 / 26, 4 / 15, 6),
    }
    draws = Resampling(("x", "y", "z"), number=27_000)
    found, drawn = replicates(per_image, draws, kept=(0, 1), rows=(0, 1)), draws.weights
    for times, (first, second, expected) in by_hand.items():
        those = (drawn == times).all(axis=1)
        assert found[those] == pytest.approx((first + second) / 2, abs=1e-15), times
        assert those.sum() / 1000 == pytest.approx(expected, abs=0.25), times
    assert (drawn.sum(axis=1) == 3).all()


def test_draws_are_these_and_no_others():
    """What other machines stored must be drawn here again: by hand for three images, and golden ones of thirty.

    The seed is 64 bits of the names' SHA-256; the upper 32 bits of PCG64's stream times the number of recordings,
    halved 32 times, are a recording's place.
    """
    seed = sha256(b'["bootstrap","x","y","z"]').hexdigest()[:16]
    raw = np.random.PCG64(int(seed, 16)).random_raw(6)
    by_hand = [(int(bits) >> 32) * 3 >> 32 for bits in raw]
    rows = [[by_hand[at : at + 3].count(place) for place in range(3)] for at in (0, 3)]
    assert Resampling(("x", "y", "z"), number=2).weights.tolist() == rows
    assert Resampling(named(30)).weights[:3, :6].tolist() == [
        [0, 0, 0, 2, 1, 1],
        [3, 2, 1, 1, 1, 2],
        [1, 2, 1, 1, 2, 2],
    ]


@pytest.mark.parametrize("outside", ["ignore", "count"])
@pytest.mark.parametrize("columns", [4, 5])
@pytest.mark.parametrize("kept", [(0, 1, 2, 3), (1, 3)])
def test_a_replicate_is_the_metric_of_the_drawn_images(outside, columns, kept):
    """Image by image in a loop, by the code that scores: with pixels of no class, and a class that most draws lack."""
    per_image, classes = counts(6, columns=columns), tuple("abcd")
    per_image[:, 3] = per_image[:, :, 3] = 0
    per_image[5, 3, 3] = 7
    draws = Resampling(named(6), number=40)
    found = replicates(per_image, draws, kept=kept, rows=scored_rows(classes, kept, outside))
    for weights, one in zip(draws.weights.astype(int), found, strict=True):
        pooled = sum(times * matrix for times, matrix in zip(weights, per_image, strict=True))
        assert one == pytest.approx(scores(pooled, classes=classes, kept=kept, outside=outside).miou, abs=1e-15)


def test_a_draw_without_a_pixel_has_no_score():
    """Nothing of a kept class in any drawn image."""
    assert np.isnan(replicates(np.zeros((2, 4, 4), np.int64), Resampling(("x", "y"), number=3))).all()


def test_two_recordings_have_three_samples():
    """Both of one, both of the other, one of each: in a quarter, a quarter and half of the replicates."""
    drawn = Resampling(("x", "x", "y"), number=4000)
    values, times = np.unique(drawn.totals(np.array([4, 3, 0])), return_counts=True)
    assert values.tolist() == [0, 7, 14] and times / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert drawn.clusters == ("x", "y") and (drawn.weights.sum(axis=1) == 2).all()


def test_methods_share_their_draws():
    """Drawn anew from the same names: the same, whatever the method or the source; other images, other draws."""
    first, again = Resampling(named(30)), Resampling(named(30))
    assert np.array_equal(first.weights, again.weights) and first.weights.shape == (2000, 30)
    assert not np.array_equal(first.weights, Resampling(named(31)[1:]).weights)
    one, other = (overlaps(counts(30, seed=seed), kept=range(4), rows=range(4)) for seed in (0, 1))
    assert np.array_equal(first.totals(one) + again.totals(other), first.totals(one + other))


def test_images_of_another_number_are_refused():
    """A count of images without a recording would pair the wrong ones."""
    with pytest.raises(ValueError, match="29 images, but 30 recordings"):
        Resampling(named(30)).totals(np.zeros((2, 4, 29), np.int64))


def test_recordings_are_read_from_names():
    """The pattern's first group; a name that it does not fit, and every name without a pattern, stands alone."""
    names = ("GOPR0356_1", "GOPR0356_2", "other")
    assert recordings(names, r"^GOPR(\d{4})_") == ("0356", "0356", "other")
    assert recordings(names, None) == names


def test_order_of_images_does_not_matter():
    """Images and their recordings shuffled together: the same replicates, to the last bit."""
    images, per_image = tuple(f"{at // 2:02}" for at in range(40)), counts(40)
    order = np.random.default_rng(5).permutation(40)
    shuffled = replicates(per_image[order], Resampling(tuple(images[at] for at in order)))
    assert np.array_equal(replicates(per_image, Resampling(images)), shuffled)


def test_interval_agrees_with_scipy():
    """IoU of one class over 40 images: scipy's percentiles at the widened level, to the noise of the draws."""
    per_image = counts(40, classes=2)
    hits, truth, predicted = per_image[:, 1, 1], per_image[:, 1].sum(axis=1), per_image[:, :, 1].sum(axis=1)

    def iou(hits, truth, predicted, axis):
        inter = hits.sum(axis=axis)
        return inter / (truth.sum(axis=axis) + predicted.sum(axis=axis) - inter)

    tail = stats.norm.sf(np.sqrt(40 / 39) * stats.t.isf(0.025, 39))
    theirs = stats.bootstrap(
        (hits, truth, predicted), iou, paired=True, vectorized=True, n_resamples=20_000, method="percentile",
        confidence_level=1 - 2 * tail, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = over_images(replicates(per_image, Resampling(named(40), 20_000), kept=(1,), rows=(0, 1)), 40)
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    assert found.told == "images, bootstrap of 40 images" and found.half == (found.high - found.low) / 2


def test_quantiles_are_numpys():
    """Linear between neighbours: of 2,001 replicates, at the same shares."""
    values = np.random.default_rng(2).normal(size=2001)
    tail = stats.norm.sf(np.sqrt(50 / 49) * stats.t.isf(0.025, 49))
    found = over_images(values, 50)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [tail, 1 - tail])), abs=1e-14)


def test_widened_percentiles_by_hand():
    """Replicates that are the normal's own quantiles: at 20 recordings the end is sqrt(20 / 19) x 2.0930 = 2.1474."""
    replicates = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert over_images(replicates, 20).high == pytest.approx(2.1474, abs=1e-3)


def test_recordings_too_alike_have_longer_intervals():
    """Every image three times: as 20 recordings of three, wider than as 60 images, by about the root of three."""
    per_image = np.repeat(counts(20), 3, axis=0)
    draws = [Resampling(tuple(f"{at // size:02}" for at in range(60))) for size in (3, 1)]
    clustered, alone = (over_images(replicates(per_image, one), 20) for one in draws)
    assert 1.5 < clustered.half / alone.half < 2


def test_below_twenty_there_is_no_interval():
    """19 of any number of images; and where a replicate has nothing to score."""
    found = over_images(np.arange(2000.0), 19, unit="recordings")
    assert (found.low, found.high, found.told, found.half, found.sign) == (None, None, "", None, 0)
    assert found.reason == "19 recordings, fewer than 20"
    assert over_images(np.array([0.1, np.nan]), 20).reason == "a replicate without a pixel to score"
    assert over_images(np.arange(2000.0), 20).reason == ""


def test_which_side_of_zero_an_interval_lies_on():
    """Above, below, across; and of no width at 0, where two methods predict the same."""
    spread = np.linspace(-1, 1, 2000)
    assert [over_images(spread + shift, 30).sign for shift in (2, -2, 0)] == [1, -1, 0]
    nothing = over_images(np.zeros(2000), 30)
    assert (nothing.low, nothing.high, nothing.sign, nothing.reason) == (0, 0, 0, "")
