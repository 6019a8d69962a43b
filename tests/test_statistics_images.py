"""The bootstrap over images: mIoU as the metric has it, draws that methods share, by recording, beside scipy."""

import numpy as np
import pytest
from scipy import stats

from xdseg.evaluation.scores import scored_rows, scores
from xdseg.reporting.statistics.bootstrap import Resampling, recordings
from xdseg.reporting.statistics.images import mean_iou, over_images

NAMES = ("suite", "a", "b")


def counts(images: int, *, classes: int = 4, columns: int | None = None, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 50, (images, classes, columns or classes))


@pytest.mark.parametrize("outside", ["ignore", "count"])
@pytest.mark.parametrize("columns", [4, 5])
@pytest.mark.parametrize("kept", [(0, 1, 2, 3), (1, 3)])
def test_miou_is_the_metric(outside, columns, kept):
    """Every rule of the score, with pixels of no class, with a class in neither truth nor prediction: equal values."""
    totals = counts(6, columns=columns)
    totals[:3, 3] = totals[:3, :, 3] = 0  # the last class is not there in three of them
    totals[5] = 0
    names = tuple("abcd")
    found = mean_iou(totals, kept=kept, rows=scored_rows(names, kept, outside))
    wanted = [scores(matrix, classes=names, kept=kept, outside=outside).miou for matrix in totals]
    assert found[:5] == pytest.approx(wanted[:5], abs=1e-15)
    assert wanted[5] is None and np.isnan(found[5])


def test_two_recordings_have_three_samples():
    """Both of one, both of the other, one of each: in a quarter, a quarter and half of the replicates."""
    per_image = np.array([[[4, 0], [0, 4]], [[3, 1], [1, 3]], [[0, 4], [4, 0]]])
    draws = Resampling(NAMES, ("x", "x", "y"), number=4000)
    values, times = np.unique(draws.totals(per_image)[:, 0, 0], return_counts=True)
    assert values.tolist() == [0, 7, 14] and times / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert (draws.weights.sum(axis=1) == 2).all()


def test_methods_of_a_pair_share_their_draws():
    """Drawn anew from the same names: the same; two equal methods differ in no replicate; another pair, other draws."""
    images = tuple(map(str, range(30)))
    first, again = Resampling(NAMES, images), Resampling(NAMES, images)
    assert np.array_equal(first.weights, again.weights) and first.weights.shape == (2000, 30)
    assert not np.array_equal(first.weights, Resampling(("suite", "b", "a"), images).weights)
    one, other = counts(30), counts(30, seed=1)
    assert np.array_equal(first.totals(one) + again.totals(other), first.totals(one + other))


def test_images_of_another_number_are_refused():
    """A count of images without a recording would pair the wrong ones."""
    with pytest.raises(ValueError, match="29 images, but 30 recordings"):
        Resampling(NAMES, tuple(map(str, range(30)))).totals(counts(29))


def test_recordings_are_read_from_names():
    """The pattern's first group; a name that it does not fit, and every name without a pattern, stands alone."""
    names = ("GOPR0356_1", "GOPR0356_2", "other")
    assert recordings(names, r"^GOPR(\d{4})_") == ("0356", "0356", "other")
    assert recordings(names, None) == names


def test_order_of_images_does_not_matter():
    """Images and their recordings shuffled together: the same replicates."""
    images, per_image = tuple(f"{at // 2:02}" for at in range(40)), counts(40)
    order = np.random.default_rng(5).permutation(40)
    shuffled = Resampling(NAMES, tuple(images[at] for at in order)).totals(per_image[order])
    assert np.array_equal(Resampling(NAMES, images).totals(per_image), shuffled)


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
    draws = Resampling(NAMES, tuple(map(str, range(40))), number=20_000)
    found = over_images(mean_iou(draws.totals(per_image), kept=(1,), rows=(0, 1)), draws.clusters)
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    assert found.told == "images, bootstrap of 40 recordings"


def test_widened_percentiles_by_hand():
    """Replicates that are the normal's own quantiles: at 20 recordings the end is sqrt(20 / 19) x 2.0930 = 2.1474."""
    replicates = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert over_images(replicates, 20).high == pytest.approx(2.1474, abs=1e-3)


def test_recordings_too_alike_have_longer_intervals():
    """Every image three times: as 20 recordings of three, wider than as 60 images, by about the root of three."""
    per_image = np.repeat(counts(20), 3, axis=0)
    draws = [Resampling(NAMES, tuple(f"{at // size:02}" for at in range(60))) for size in (3, 1)]
    clustered, alone = (over_images(mean_iou(d.totals(per_image), kept=range(4), rows=range(4)), 20) for d in draws)
    assert 1.5 < (clustered.high - clustered.low) / (alone.high - alone.low) < 2


def test_below_twenty_recordings_there_is_no_interval():
    """19 of any number of images; and where a replicate has nothing to score."""
    found = over_images(np.arange(2000.0), 19)
    assert (found.low, found.high, found.told) == (None, None, "") and found.reason == "19 of at least 20 recordings"
    assert over_images(np.array([0.1, np.nan]), 20).reason == "a replicate without a pixel to score"
    assert over_images(np.arange(2000.0), 20).reason == ""
