"""The ways of scoring that docs/protocols.md compares: by hand, and against Pillow doing what the original does."""

import importlib
import json
import sys

import numpy as np
import pytest
from conftest import REAL_DATA, ROOT
from PIL import Image, ImageOps

FOLDER = ROOT / "benchmarks"
COUNTS = np.array([[6, 2, 0], [1, 3, 0], [2, 0, 2]])  # IoU 6/11, 3/6, 2/4


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """Loads a module of benchmarks/ as its scripts see it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.startswith("protocol_")]:
        del sys.modules[name]


def test_means_by_hand(module):
    """Three classes of 6/11, 3/6 and 2/4; without the third, its truth makes false positives (a) or none (b)."""
    variants = module("protocol_variants")
    assert variants.miou(COUNTS) == pytest.approx(100 * (6 / 11 + 1 / 2 + 1 / 2) / 3)
    rule_a, rule_b = variants.without_outside(COUNTS, {2})
    assert rule_a == pytest.approx(100 * (6 / 11 + 1 / 2) / 2)
    assert rule_b == pytest.approx(100 * (6 / 9 + 1 / 2) / 2)
    assert COUNTS[2, 0] == 2, "the counts themselves stay"


def test_absent_classes_by_hand(module):
    """A class in neither truth nor prediction leaves the mean or counts 0; one that is only predicted is 0 or left."""
    variants = module("protocol_variants")
    nowhere = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 0]])
    assert variants.miou(nowhere) == 100 and variants.absent_as_zero(nowhere) == pytest.approx(200 / 3)
    predicted = np.array([[4, 0, 0], [0, 3, 1], [0, 0, 0]])
    assert variants.miou(predicted) == pytest.approx((100 + 75 + 0) / 3)
    assert variants.present_only(predicted) == pytest.approx((100 + 75) / 2)


def test_counts_leave_ignored_pixels_out(module):
    """Rows are true, columns predicted; a pixel of 255 counts nowhere."""
    variants = module("protocol_variants")
    pair = (np.array([[0, 1, 255]], np.uint8), np.array([[1, 1, 0]], np.uint8))
    assert variants.counts(pair, classes=2).tolist() == [[0, 1], [0, 1]]
    swapped = variants.merged(pair, {0: 1, 1: 0})
    assert swapped[0].tolist() == [[1, 0, 255]] and swapped[1] is pair[1]


def test_halves_and_squares(module):
    """Every second row and column; the middle three columns of five."""
    variants = module("protocol_variants")
    array = np.arange(15, dtype=np.uint8).reshape(3, 5)
    assert variants.halved((array, array))[0].tolist() == [[0, 2, 4], [10, 12, 14]]
    assert variants.centre_square((array, array))[1].tolist() == [[1, 2, 3], [6, 7, 8], [11, 12, 13]]


@pytest.mark.parametrize(("width", "height"), [(400, 300), (1600, 900), (300, 400), (200, 400), (500, 500)])
def test_the_window_is_what_padding_and_cropping_leave(module, width, height):
    """Resize, expand on both sides, crop from the unpadded middle, as the original does: columns are counted."""
    side = 96
    wide = int(width / height * side)
    mask = Image.fromarray(np.full((side, wide), 9, np.uint8))
    pad = max(side - wide, 0)
    left = round((wide - side) / 2)
    square = np.asarray(ImageOps.expand(mask, (pad, 0, pad, 0), fill=0).crop((left, 0, left + side, side)))
    scored, filled = module("protocol_variants").scored_window(width, height, side=side)
    assert scored == pytest.approx((square == 9).sum() / (side * wide))
    assert filled == pytest.approx((square == 0).mean())


def test_known_windows_and_sizes(module):
    """4:3 has three quarters scored, a 3:4 portrait 37.5% false road; 1280 x 720 is 1280 x 704 for GTA."""
    variants = module("protocol_variants")
    assert variants.scored_window(4032, 3024) == (0.75, 0)
    assert variants.scored_window(3024, 4032)[1] == 0.375
    assert variants.kept_ratio(1914, 1052, box=(1280, 720)) == (1280, 704)
    assert variants.kept_ratio(1914, 1052, box=(2560, 1440)) == (2560, 1407)


def test_made_up_predictions_by_hand(module):
    """One pixel right and down; what enters repeats the border, ignored pixels are called class 0."""
    predictions = module("protocol_predictions")
    truth = np.array([[1, 2, 3], [255, 5, 6]], np.uint8)
    assert predictions.moved(truth, 1).tolist() == [[1, 1, 2], [1, 1, 2]]
    blocks = np.repeat(np.repeat(np.array([[1, 2]], np.uint8), 8, 0), 8, 1)
    assert (predictions.coarse(blocks) == blocks).all()


def test_without_data_the_published_rows_alone_are_computed(module, tmp_path, capsys):
    """HGFormer's four conditions average to 55.86, 1.09 below its pooled number; DAFormer's 19 to 68.25."""
    out = tmp_path / "out.json"
    effects = module("protocol_effects")
    assert effects.main(["--data", str(tmp_path), "--results", str(tmp_path), "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told.keys() == {"classes", "conditions", "windows", "sizes"}
    pooled = {row["result"]: row for row in told["conditions"]}["HGFormer, Swin-T"]
    assert pooled["mean of four"] == pytest.approx(55.86) and pooled["difference"] == pytest.approx(1.09)
    rows = {row["result"]: row for row in told["classes"]}
    assert rows["DAFormer, gta5 to cityscapes"]["19"] == pytest.approx(68.2474, abs=1e-4)
    assert "HGFormer" in capsys.readouterr().out


@pytest.mark.skipif(not (REAL_DATA / "street").is_dir(), reason="photographs are not there")
def test_labels_of_photographs_are_read(module):
    """The truth scored against itself is 100 for every class that occurs."""
    predictions, variants = module("protocol_predictions"), module("protocol_variants")
    truth = next(label for _, label in predictions.labels(REAL_DATA, "camvid_dusk"))
    assert variants.miou(variants.counts((truth, np.where(truth == 255, 0, truth)), classes=7)) == 100
