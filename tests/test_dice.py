"""Dice of nested regions, worked by hand, and its columns on a board."""

import json

import numpy as np
import pytest
import torch
from test_board import CLASSES, EXPECTED, RECORDS, build, cell, lines, record
from torchmetrics.classification import BinaryF1Score

from xdseg.errors import BadInput
from xdseg.evaluation.dice import dice_scores
from xdseg.evaluation.scores import kept_classes
from xdseg.evaluation.summary import scores_of
from xdseg.params import checked
from xdseg.settings.evaluation import Scoring

FUNDUS = ("background", "disc", "cup")  # disc is the rim; the region disc holds the cup
REGIONS = {"disc": ("disc", "cup"), "cup": ("cup",)}
# image 1: rim 4 pixels right, 2 called cup; cup 3 right, 1 called background; background 8 right, 2 called rim
FIRST = [[8, 2, 0], [0, 4, 2], [1, 0, 3]]
SECOND = [[10, 0, 0], [0, 6, 0], [0, 0, 0]]  # no cup in truth or prediction
THIRD = [[9, 0, 1], [0, 5, 0], [0, 0, 0]]  # a cup that is not there


def dice(images, *, regions=REGIONS, rows=(0, 1, 2)) -> dict:
    return dice_scores(np.array(images), classes=FUNDUS, regions=regions, rows=rows)


def test_nested_regions_of_one_image_by_hand():
    """Disc: truth 6 + 4, predicted 2 + 6 + 3, both 6 + 3: 18 / 21. Cup: truth 4, predicted 2 + 3, both 3: 6 / 9."""
    found = dice([FIRST])
    assert found["dice"] == {"disc": 18 / 21, "cup": 6 / 9} == found["dice_per_image"]
    assert found["mean_dice"] == pytest.approx((18 / 21 + 6 / 9) / 2, abs=1e-15)


def test_pooled_and_per_image_differ():
    """Cup over three images: pooled 6 / (4 + 6); per image 6 / 9, none, and 0 where it is only predicted: 3 / 9."""
    found = dice([FIRST, SECOND, THIRD])
    assert found["dice"]["cup"] == 6 / 10
    assert found["dice_per_image"]["cup"] == pytest.approx(1 / 3, abs=1e-15)
    # disc: 18/21, 12/12, 10/11; pooled 2 * (9 + 6 + 5) / (10 + 6 + 5 + 11 + 6 + 6)
    assert found["dice"]["disc"] == 40 / 44
    assert found["dice_per_image"]["disc"] == pytest.approx((18 / 21 + 1 + 10 / 11) / 3, abs=1e-15)


def test_a_region_that_is_nowhere_has_no_dice_and_leaves_the_mean():
    """Cup in no image: None, and the mean is disc's alone. Nothing at all: None throughout."""
    assert dice([SECOND]) == {
        "dice": {"disc": 1.0, "cup": None},
        "dice_per_image": {"disc": 1.0, "cup": None},
        "mean_dice": 1.0,
    }
    assert dice(np.zeros((0, 3, 3), np.int64))["mean_dice"] is None


def test_only_scored_pixels_count():
    """Background outside the scored rows: its 2 pixels called rim are no error, disc is 18 / 19.

    Cup outside: the disc's truth is the rim's 6 pixels, all found, and 2 of background are called rim: 12 / 14.
    """
    assert dice([FIRST], rows=(1, 2))["dice"]["disc"] == 18 / 19
    assert dice([FIRST], rows=(0, 1))["dice"] == {"disc": 12 / 14, "cup": 0.0}


def test_predictions_of_no_class_are_missed():
    """Two of the cup's pixels void, in a last column: truth 6, predicted 5, both 3."""
    found = dice([[[*FIRST[0], 0], [*FIRST[1], 0], [*FIRST[2], 2]]])
    assert found["dice"]["cup"] == 6 / 11


def test_equal_to_torchmetrics_f1():
    """Random images of three classes: the Dice of a region is the F1 score of its mask."""
    rng = np.random.default_rng(5)
    truth, called = rng.integers(0, 3, (2, 4, 30, 40))
    counts = np.zeros((4, 3, 3), np.int64)
    np.add.at(counts, (np.arange(4)[:, None, None], truth, called), 1)
    found = dice(counts)
    masks = [torch.from_numpy((ids > 0).astype(int)) for ids in (called, truth)]
    assert found["dice"]["disc"] == pytest.approx(BinaryF1Score()(*masks).item(), rel=1e-6)
    each = [BinaryF1Score()(masks[0][i], masks[1][i]).item() for i in range(4)]
    assert found["dice_per_image"]["disc"] == pytest.approx(np.mean(each), rel=1e-6)


def test_a_score_names_dice_only_if_regions_are_asked_for():
    """The keys of a score without regions are those of before; with them come three."""
    settings = [Scoring(), Scoring(regions=REGIONS)]
    plain, asked = (scores_of(np.array([FIRST]), classes=FUNDUS, kept=(0, 1, 2), scoring=one) for one in settings)
    assert list(plain) == ["miou", "pixel_accuracy", "iou", "kept", "images", "confusion"]
    assert list(asked) == [*plain, "dice", "dice_per_image", "mean_dice"]
    assert asked["dice"] == {"disc": 18 / 21, "cup": 6 / 9} and asked["confusion"] == FIRST


@pytest.mark.parametrize("classes", [[], ["cup", "cup"]])
def test_a_region_of_nothing_is_refused(classes):
    """Empty, or one class twice: a slip in the settings."""
    with pytest.raises(BadInput, match="region 'cup': name at least one class, and each once"):
        checked(Scoring, {"regions": {"cup": classes}}, "scoring")


def test_a_region_of_an_unknown_class_is_answered_with_the_nearest():
    """Before anything is scored."""
    with pytest.raises(BadInput, match="'cups' is no class of the suite; did you mean 'cup'"):
        kept_classes(Scoring(regions={"cup": ["cups"]}), FUNDUS, source_lacks=set(), target_lacks=set())


def with_dice(one: dict, vessel: float | None, mean: float | None) -> dict:
    said = {"dice": {"vessel": vessel}, "dice_per_image": {"vessel": 0.5}, "mean_dice": mean}
    return one | {"scores": one["scores"] | said}


def test_columns_of_dice_on_a_board(tmp_path):
    """Over seeds, then over pairs, as the mIoU: a->b (70 + 90) / 2 and b->a 60; a cell without Dice has blanks."""
    expected = [
        cell("m", "a->b", 0),
        cell("m", "a->b", 1),
        cell("m", "b->a", 0),
        cell("old", "a->b"),
        cell("old", "b->a"),
    ]
    records = [
        with_dice(record("m", "a->b", 0.5), 0.7, 0.75),
        with_dice(record("m", "a->b", 0.5, seed=1), 0.9, 0.95),
        with_dice(record("m", "b->a", 0.5), 0.6, 0.65),
        record("old", "a->b", 0.3),
    ]
    out = build(tmp_path, expected=expected, records=records)
    table = lines(out / "cells.csv")
    assert table[0].split(",")[8:14] == [
        *("iou_background", "iou_vessel", "mean_dice", "dice_vessel", "dice_per_image_vessel", "images")
    ]
    assert table[1].split(",")[8:14] == ["90.00", "50.00", "75.00", "70.00", "50.00", "10"]
    assert table[4].split(",")[8:14] == ["90.00", "30.00", "", "", "", "10"]
    assert {line.count(",") for line in table[:-1]} == {table[0].count(",")}
    assert lines(out / "leaderboard.csv")[:3] == [
        "method,setting,miou,iou_vessel,mean_dice,dice_vessel,pairs,seeds,parameters_millions,origin",
        "m,source,70.00,50.00,75.00,70.00,2/2,1-2,12.35,run",
        "old,source,,,,,1/2,1,12.35,run",
    ]
    contents = json.loads((out / "leaderboard.json").read_text())
    assert contents["m"]["dice"] == {"vessel": 70.0} and contents["m"]["mean_dice"] == 75.0
    assert contents["old"]["dice"] == {"vessel": None}
    page = (out / "leaderboard.md").read_text()
    assert "| mIoU (%) | IoU of vessel (%) | mean Dice (%) | Dice of vessel (%) | pairs |" in page
    assert "| m | source | 70.00 | 50.00 | 75.00 | 70.00 | 2/2 | 1–2 | 12.35 |" in page


def test_a_board_without_dice_has_no_trace_of_it(tmp_path):
    """No column, key or word."""
    out = build(tmp_path, expected=EXPECTED, records=RECORDS, classes=CLASSES)
    for name in ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md"):
        assert "dice" not in (out / name).read_text().lower(), name


def test_the_page_says_how_its_numbers_were_scored(tmp_path):
    """Subset, what lies outside, size of the truth and regions stand in the sentence below the table."""
    scoring = {
        "absent": "field",
        "subset": "16a",
        "outside": "count",
        "truth": {"height": 1536, "centre_crop": 1024},
        "regions": {"any": ["background", "vessel"]},
    }
    records = [one | {"protocol": {"name": "p", "scoring": scoring}} for one in RECORDS]
    page = (build(tmp_path, records=records) / "leaderboard.md").read_text()
    for words in (
        "only the classes of subset 16a are scored; a pixel of another class remains an error",
        "truth resampled to height 1536, of which the central square of 1024 pixels",
        "Dice is pooled over the split, of regions (any: background, vessel)",
    ):
        assert words in page
