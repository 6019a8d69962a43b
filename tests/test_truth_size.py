"""Counting pixels at another size than the truth's: picked pixels by hand, torch's nearest-exact, and split scoring."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xdseg.data.store import PixelStore, write_store
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import score_split, write_predictions
from xdseg.evaluation.truth_size import at_scored_size, crop_shares, nearest, resized, scored_size
from xdseg.params import checked
from xdseg.settings.evaluation import Scoring
from xdseg.settings.sizes import CentreCrop

ROBUSTNET = Scoring(truth={"height": 1536, "centre_crop": 1536}).truth
RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6)


def split(folder, truth: np.ndarray, ids: np.ndarray):
    """One image's truth in a store, and its prediction in a zip."""
    write_store(folder / "truth.json", names=["a"], arrays=[truth], digest="d")
    write_predictions(folder / "p.zip", [("a", ids)])
    return folder / "p.zip", PixelStore(folder / "truth.json")


def test_pixels_are_picked_at_their_centres_by_hand():
    """Halved: of every two pixels the second, whose area holds the centre. A third: the middle one. Doubled: twice."""
    assert nearest(RAMP, (2, 3)).tolist() == [[7, 9, 11], [19, 21, 23]]
    assert nearest(RAMP, (4, 2))[0].tolist() == [1, 4]
    assert nearest(RAMP, (4, 4))[0].tolist() == [0, 2, 3, 5]  # centres at 0.75, 2.25, 3.75, 5.25
    assert nearest(RAMP[:1, :2], (1, 4)).tolist() == [[0, 0, 1, 1]]
    assert nearest(RAMP, (4, 6)) is RAMP


@pytest.mark.parametrize("pixel", [np.uint8, np.float32])
def test_equal_to_torch_nearest_exact(pixel):
    """All sides up to 40, and 300 large pairs: each picked position is torch's, which training uses on labels.

    900 to 371 is one of those where double precision picks another pixel.
    """
    rng = np.random.default_rng(0)
    small = [(old, new) for old in range(1, 41) for new in range(1, 41)]
    large = [tuple(int(side) for side in pair) for pair in rng.integers(1, 5000, (300, 2))]
    for old, new in [*small, *large, (3881, 3709), (900, 371), (3000, 1536)]:
        side = (np.arange(old) % 251).astype(pixel)[None]
        theirs = F.interpolate(torch.from_numpy(side)[None, None], (1, new), mode="nearest-exact")[0, 0]
        assert (nearest(side, (1, new)) == theirs.numpy()).all(), (old, new)
        assert (nearest(side.T, (new, 1)) == theirs.numpy().T).all(), (old, new)


@pytest.mark.parametrize(
    ("setting", "shape", "expected", "counted"),
    [
        ("native", (5, 7), (5, 7), (5, 7)),
        ("half", (5, 7), (2, 3), (2, 3)),  # rounded down, as Rein's script
        ("half", (1, 1), (1, 1), (1, 1)),
        ([512, 1024], (1024, 2048), (512, 1024), (512, 1024)),
        ({"height": 1536, "centre_crop": 1536}, (3000, 4000), (1536, 2048), (1536, 1536)),
        ({"height": 1536, "centre_crop": 1536}, (4000, 3000), (1536, 1152), (1536, 1152)),
        ({"height": 6, "centre_crop": 4}, (3, 5), (6, 10), (4, 4)),
    ],
)
def test_sizes_by_hand(setting, shape, expected, counted):
    """Resized, and what is counted of it: the square, as far as the photograph reaches."""
    truth = Scoring(truth=setting).truth
    assert resized(shape, truth) == expected and scored_size(shape, truth) == counted


def test_the_centre_is_what_is_scored():
    """Height 4 as it is, 6 wide, a square of 2: rows 1 and 2, columns 2 and 3. Of a narrow one all columns."""
    crop = CentreCrop(height=4, centre_crop=2)
    assert at_scored_size(RAMP, (4, 6), crop).tolist() == [[8, 9], [14, 15]]
    assert at_scored_size(RAMP[:, :1], (4, 1), crop).tolist() == [[6], [12]]


def filled_by_padding(width: int, *, side: int) -> float:
    """What stays 0 of a row of ones after padding by the lack on both sides and cutting where no padding would be."""
    padded = np.pad(np.ones(width), side - width)
    start = round((width - side) / 2)  # negative: the window reaches beyond the padding, and that is 0 too
    return 1 - padded[: start + side].sum() / side


def test_shares_of_a_centre_crop_by_hand():
    """A 4:3 photo has 75% of its pixels scored, 16:9 56%; of a 3:4 portrait a quarter of the square is missing.

    RobustNet fills 37.5% of that square, as a walk through its padding gives too.
    """
    assert crop_shares((3000, 4000), ROBUSTNET).scored == Fraction(3, 4)
    assert float(crop_shares((1080, 1920), ROBUSTNET).scored) == pytest.approx(0.5625, abs=2e-4)
    portrait = crop_shares((4000, 3000), ROBUSTNET)
    assert (portrait.scored, portrait.missing, portrait.published_filled) == (1, Fraction(1, 4), Fraction(3, 8))
    assert filled_by_padding(1152, side=1536) == 0.375
    assert crop_shares((3000, 4000), ROBUSTNET).published_filled == 0
    narrow = crop_shares((4000, 1500), ROBUSTNET)  # 576 of 1536 are covered: padding covers all but 96
    assert float(narrow.published_filled) == filled_by_padding(576, side=1536) == 1 - 96 / 1536
    assert crop_shares((4000, 1000), ROBUSTNET).published_filled == filled_by_padding(384, side=1536) == 1


def test_stored_predictions_are_scored_again_at_half_size(tmp_path):
    """Truth and prediction of 2 x 4 halved: their pixels at (1, 1) and (1, 3) are counted, no network is asked."""
    truth = np.array([[0, 0, 0, 0], [0, 1, 0, 255]], np.uint8)
    ids = np.array([[1, 1, 1, 1], [1, 0, 1, 1]], np.uint8)
    path, store = split(tmp_path, truth, ids)
    _, native = score_split(path, store, classes=2, ignore_index=255)
    assert native.tolist() == [[[0, 6], [1, 0]]]
    _, half = score_split(path, store, classes=2, ignore_index=255, size="half")
    assert half.tolist() == [[[0, 0], [1, 0]]]


def test_predictions_may_have_the_size_that_is_counted(tmp_path):
    """Stored at 1 x 2, the network's input: only the truth is resampled, to its pixels (1, 1) and (1, 3)."""
    truth = np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.uint8)
    path, store = split(tmp_path, truth, np.array([[1, 0]], np.uint8))
    _, counts = score_split(path, store, classes=2, ignore_index=255, size=Scoring(truth=[1, 2]).truth)
    assert counts.tolist() == [[[1, 0], [0, 1]]]


def test_predictions_may_have_the_size_before_the_crop(tmp_path):
    """Of 1 x 3 at height 2, so 2 x 6, the middle 2 x 2 counts: each of truth's pixel 1, of the prediction's 2 and 3."""
    truth, ids = np.array([[0, 1, 0]], np.uint8), np.array([[0, 0, 1, 0, 0, 0]] * 2, np.uint8)
    path, store = split(tmp_path, truth, ids)
    setting = Scoring(truth={"height": 2, "centre_crop": 2}).truth
    _, counts = score_split(path, store, classes=2, ignore_index=255, size=setting)
    assert counts.tolist() == [[[0, 0], [2, 2]]]


def test_a_prediction_of_neither_size_is_refused(tmp_path):
    """The line names the image, its size and the sizes that would do."""
    path, store = split(tmp_path, np.zeros((4, 8), np.uint8), np.zeros((3, 8), np.uint8))
    with pytest.raises(BadInput, match=r"a\.png: 3 x 8 pixels, where scoring\.truth asks for 4 x 8 or 2 x 4; write"):
        score_split(path, store, classes=2, ignore_index=255, size="half")
    with pytest.raises(BadInput, match=r"a\.png: 3 x 8 pixels, its truth has 4 x 8; write it at that size"):
        score_split(path, store, classes=2, ignore_index=255)


@pytest.mark.parametrize(
    "truth", ["third", 512, [512], [0, 4], {"height": 4}, {"height": 4, "centre_crop": 0}, {"fit": [3, 4]}, None]
)
def test_a_wrong_size_is_one_line(truth):
    """What is no size gets the list of what is, once."""
    with pytest.raises(BadInput, match=r"scoring\.truth: value error, expected native, half") as error:
        checked(Scoring, {"truth": truth}, "scoring")
    assert str(error.value).count("expected") == 1
