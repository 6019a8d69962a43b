"""Scores from counts: values worked by hand, and torchmetrics' where the two definitions meet."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from xdseg.errors import BadInput
from xdseg.evaluation.scores import Scores, kept_classes, scores
from xdseg.settings.evaluation import Scoring

NAMES = ("road", "car", "sky")
# road: 6 right, 2 called car, 1 called sky; car: 1 called road, 3 right; sky: 2 called car, 5 right
COUNTS = np.array([[6, 2, 1], [1, 3, 0], [0, 2, 5]])


def test_all_classes_by_hand():
    """IoU = hits / (row + column - hits): 6/10, 3/8, 5/8; 14 of 20 pixels are right."""
    found = scores(COUNTS, classes=NAMES, kept=(0, 1, 2))
    assert found.iou == {"road": 6 / 10, "car": 3 / 8, "sky": 5 / 8}
    assert found.miou == pytest.approx((0.6 + 0.375 + 0.625) / 3, abs=1e-15)
    assert found.pixel_accuracy == 14 / 20


def test_a_dropped_class_leaves_truth_but_stays_an_error():
    """Without car, its 4 pixels are ignored: road 6/(9+6-6), sky 5/(7+6-5); pixels called car still miss."""
    found = scores(COUNTS, classes=NAMES, kept=(0, 2))
    assert found == Scores({"road": 6 / 9, "sky": 5 / 8}, 31 / 48, 11 / 16)


def test_drop_and_field_differ_where_a_class_is_only_predicted():
    """Car in no truth, but called twice: `field` counts it with 0, `drop` leaves it out of the mean."""
    matrix = np.array([[6, 2, 0], [0, 0, 0], [0, 0, 4]])
    field = kept_classes(Scoring(absent="field"), NAMES, source_lacks=set(), target_lacks={"car"})
    drop = kept_classes(Scoring(absent="drop"), NAMES, source_lacks=set(), target_lacks={"car"})
    assert scores(matrix, classes=NAMES, kept=field) == Scores(
        {"road": 0.75, "car": 0.0, "sky": 1.0}, 1.75 / 3, 10 / 12
    )
    assert scores(matrix, classes=NAMES, kept=drop) == Scores({"road": 0.75, "sky": 1.0}, 0.875, 10 / 12)


def test_a_class_in_neither_truth_nor_prediction_leaves_the_mean():
    """Its IoU is None, and the mean of 0.5 and 0.5 is not thirds of anything."""
    found = scores(np.array([[2, 1, 0], [1, 2, 0], [0, 0, 0]]), classes=NAMES, kept=(0, 1, 2))
    assert found == Scores({"road": 0.5, "car": 0.5, "sky": None}, 0.5, 4 / 6)


def test_nothing_to_count_has_no_score():
    """All-ignored data: None, never 0 and never an error."""
    empty = np.zeros((3, 3), np.int64)
    assert scores(empty, classes=NAMES, kept=(0, 2)) == Scores({"road": None, "sky": None}, None, None)


def test_counts_beyond_float_precision_stay_exact():
    """2**53 + 1 hits of 2**53 + 1 pixels are an IoU of exactly 1, and values are plain floats."""
    found = scores(np.array([[2**53 + 1, 0], [0, 3]]), classes=("a", "b"), kept=(0, 1))
    assert found.iou == {"a": 1.0, "b": 1.0}
    assert {type(value) for value in (*found.iou.values(), found.miou, found.pixel_accuracy)} == {float}


def test_equal_to_torchmetrics_jaccard():
    """Random images of 19 classes, a tenth ignored: IoU, mean and accuracy agree to float32."""
    rng = np.random.default_rng(3)
    truth, prediction = rng.integers(0, 19, (2, 300, 400))
    truth[rng.random(truth.shape) < 0.1] = 255
    counts = np.zeros((19, 19), np.int64)
    np.add.at(counts, (truth[truth != 255], prediction[truth != 255]), 1)
    names = tuple(f"class {i}" for i in range(19))
    found = scores(counts, classes=names, kept=tuple(range(19)))
    theirs = [torch.from_numpy(array) for array in (prediction, truth)]
    jaccard = MulticlassJaccardIndex(19, average=None, ignore_index=255)(*theirs)
    accuracy = MulticlassAccuracy(19, average="micro", ignore_index=255)(*theirs)
    assert list(found.iou.values()) == pytest.approx(jaccard.tolist(), rel=1e-5)
    assert found.miou == pytest.approx(jaccard.mean().item(), rel=1e-5)
    assert found.pixel_accuracy == pytest.approx(accuracy.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("scoring", "kept"),
    [
        (Scoring(), (1,)),
        (Scoring(absent="field"), (0, 1, 2)),
        (Scoring(absent="field", subset=("sky", "road")), (0, 2)),
        (Scoring(absent="drop", subset=("car", "road")), (1,)),
    ],
)
def test_which_classes_are_kept(scoring, kept):
    """The source lacks road, the target sky: drop keeps car; field keeps all; a subset restricts either."""
    assert kept_classes(scoring, NAMES, source_lacks={"road"}, target_lacks={"sky"}) == kept


def test_an_unknown_class_is_answered_with_the_nearest():
    """A typo in the subset must not silently score fewer classes."""
    with pytest.raises(BadInput, match="'raod' is no class of the suite; did you mean 'road'"):
        kept_classes(Scoring(subset=("raod", "car")), NAMES, source_lacks=set(), target_lacks=set())


def test_no_class_left_is_refused():
    """A subset of nothing but lacking classes has no score to give."""
    with pytest.raises(BadInput, match="no class is left"):
        kept_classes(Scoring(subset=("sky",)), NAMES, source_lacks=set(), target_lacks={"sky"})
