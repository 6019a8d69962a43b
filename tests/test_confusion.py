"""Confusion matrices: worked by hand, and equal to an independent implementation's."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from xdseg.errors import BadInput
from xdseg.evaluation.confusion import BLOCK, confusion

TRUTH = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
PREDICTION = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)


def count(truth=TRUTH, prediction=PREDICTION, classes=3, ignore_index=255, **keywords):
    return confusion(truth, prediction, classes=classes, ignore_index=ignore_index, **keywords)


def random_pair(shape, *, classes, seed, ignored=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape, dtype=np.uint8)
    truth[rng.random(shape) < ignored] = 255
    return truth, rng.integers(0, classes, shape, dtype=np.uint8)


def test_rows_are_truth_and_columns_prediction():
    """Five counted pixels: 0→0, 0→1, 1→1 twice, 2→0; the sixth is ignored, whatever is predicted there."""
    matrix = count()
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert matrix.dtype == np.int64


def test_an_image_of_nothing_but_ignored_pixels_counts_nothing():
    """All-ignored truth gives the zero matrix, not an error."""
    assert count(np.full((4, 5), 255, np.uint8), np.ones((4, 5), np.uint8)).tolist() == [[0] * 3] * 3


def test_an_ignore_index_among_the_classes_empties_its_row():
    """With ignore_index 0 only the pixels of the classes 1 and 2 count."""
    truth = np.where(TRUTH == 255, 0, TRUTH).astype(np.uint8)
    assert count(truth, ignore_index=0).tolist() == [[0, 0, 0], [0, 2, 0], [1, 0, 0]]


def test_all_256_ids_can_be_classes():
    """The joint index of two 8-bit ids does not overflow: each id predicted as 255 minus itself, once."""
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    matrix = count(ids, 255 - ids, classes=256, ignore_index=-1)
    assert (matrix == np.fliplr(np.eye(256, dtype=np.int64))).all()


def test_counts_do_not_depend_on_the_layout_in_memory():
    """Transposed and strided views, read-only, give the counts of their copies."""
    truth, prediction = random_pair((64, 48), classes=5, seed=1)
    truth.flags.writeable = False
    for view in (np.s_[::2, ::3], np.s_[::-1]):
        expected = count(truth[view].copy(), prediction[view].copy(), classes=5)
        assert (count(truth[view], prediction[view], classes=5) == expected).all()
    assert (count(truth.T, prediction.T, classes=5) == count(truth, prediction, classes=5)).all()


def test_images_larger_than_a_block_are_counted_whole():
    """One pixel more than two blocks, all of class 1 predicted 2: the count is their number."""
    truth = np.full((1, 2 * BLOCK + 1), 1, np.uint8)
    assert count(truth, truth + np.uint8(1))[1].tolist() == [0, 0, 2 * BLOCK + 1]


@pytest.mark.parametrize("run", [1, 2, 3, 4, 5, 50])
def test_runs_of_any_length_are_counted_alike(run):
    """Each pixel repeated `run` times, which is counted another way than noise, gives `run` times the counts."""
    truth, prediction = random_pair((40, 50), classes=4, seed=2)
    wide = [np.repeat(array, run, axis=1) for array in (truth, prediction)]
    assert (count(*wide, classes=4) == run * count(truth, prediction, classes=4)).all()


@pytest.mark.parametrize(("classes", "shape"), [(2, (33, 47)), (7, (1, 1)), (19, (512, 600)), (150, (64, 64))])
def test_equal_to_torchmetrics(classes, shape):
    """Random images with a tenth ignored: every count equals torchmetrics'."""
    truth, prediction = random_pair(shape, classes=classes, seed=classes)
    theirs = MulticlassConfusionMatrix(classes, ignore_index=255)
    theirs.update(torch.from_numpy(prediction).long(), torch.from_numpy(truth).long())
    assert (count(truth, prediction, classes=classes) == theirs.compute().numpy()).all()


@pytest.mark.parametrize(
    ("truth", "prediction", "line"),
    [
        (TRUTH, PREDICTION[:, :2], "im7: the prediction is 2 x 2, the truth 2 x 3"),
        (TRUTH, np.full_like(TRUTH, 3), "im7: the prediction holds id 3, classes are 0..2"),
        (np.where(TRUTH == 2, 7, TRUTH).astype(np.uint8), PREDICTION, "im7: the truth holds id 7, neither one of"),
        (TRUTH.astype(np.int64), PREDICTION, "im7: the truth is int64, expected 8-bit"),
        (TRUTH, PREDICTION / 2, "im7: the prediction is float64, expected 8-bit"),
    ],
)
def test_bad_input_is_named(truth, prediction, line):
    """The error opens with the image and says what is wrong; nothing is counted wrongly in silence."""
    with pytest.raises(BadInput) as error:
        count(truth, prediction, name="im7")
    assert str(error.value).startswith(line)


def test_a_foreign_prediction_is_refused_even_where_the_truth_is_ignored():
    """A prediction that copies the ignore id betrays that it has seen the truth, or is no class map."""
    prediction = PREDICTION.copy()
    prediction[1, 2] = 255
    with pytest.raises(BadInput, match="holds id 255"):
        count(prediction=prediction)


@pytest.mark.parametrize("module", ["confusion", "scores", "predictions"])
def test_scoring_imports_no_torch_pandas_or_matplotlib(module):
    """Scoring stays light: a cluster job that only scores loads no framework."""
    code = (
        f"import sys, xdseg.evaluation.{module}; sys.exit(bool({{'torch', 'pandas', 'matplotlib'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
