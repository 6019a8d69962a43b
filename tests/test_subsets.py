"""Four numbers that papers call the mIoU of one model: 19, 16a, 16b and 13, worked by hand."""

from fractions import Fraction

import numpy as np
import pytest

from xdseg.datasets.spaces import CITYSCAPES, SIXTEEN, SUBSETS, THIRTEEN
from xdseg.errors import BadInput
from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.scores import Scores, kept_classes, nineteen_sixteenths, scores
from xdseg.params import checked
from xdseg.settings.evaluation import Scoring

NAMES = ("road", "car", "sky")
COUNTS = np.array([[6, 2, 1], [1, 3, 0], [0, 2, 5]])


def kept(scoring: Scoring, classes=CITYSCAPES, **lacks: set[str]) -> tuple[int, ...]:
    lacking = {"source_lacks": set(), "target_lacks": set()}
    return kept_classes(scoring, classes, **lacking | lacks)


def scored(matrix: np.ndarray, scoring: Scoring, classes=CITYSCAPES, **lacks: set[str]) -> Scores:
    return scores(matrix, classes=classes, kept=kept(scoring, classes, **lacks), outside=scoring.outside)


def street() -> np.ndarray:
    """Counts (19, 19): 10 pixels of every class, all right but for three exchanges.

    4 pixels of terrain are called vegetation, 5 of wall are called building, 1 of road is called truck.
    """
    counts = np.diag([10] * 19)
    for true, called, pixels in (("terrain", "vegetation", 4), ("wall", "building", 5), ("road", "truck", 1)):
        row, column = CITYSCAPES.index(true), CITYSCAPES.index(called)
        counts[row, row] -= pixels
        counts[row, column] += pixels
    return counts


# vegetation: 10 right, 4 of terrain's besides; building: 10 and 5 of wall's; wall 5 of 10, terrain 6 of 10, road 9 of
# 10; truck: 10 right and 1 of road's
VEGETATION, BUILDING, WALL, TERRAIN, ROAD, TRUCK = (
    *(Fraction(10, 14), Fraction(10, 15), Fraction(5, 10), Fraction(6, 10), Fraction(9, 10), Fraction(10, 11)),
)


def test_the_four_means_of_one_confusion():
    """Of 19, 16a and 13 the errors on terrain and wall stay; 16b is a suite that never saw terrain's pixels."""
    nineteen = (VEGETATION + BUILDING + WALL + TERRAIN + ROAD + TRUCK + 13) / 19
    sixteen = (VEGETATION + BUILDING + WALL + ROAD + 12) / 16
    thirteen = (VEGETATION + BUILDING + ROAD + 10) / 13
    assert scored(street(), Scoring(subset="19")).miou == float(nineteen)
    assert scored(street(), Scoring(subset="16a")).miou == float(sixteen)
    assert scored(street(), Scoring(subset="13")).miou == float(thirteen)
    rows = [CITYSCAPES.index(name) for name in SIXTEEN]
    sixteen_way = street()[np.ix_(rows, rows)]  # a 16-way head has no truck: say that road's pixel became sidewalk
    sixteen_way[0, 1] += 1
    sidewalk = Fraction(10, 11)
    found = scored(sixteen_way, Scoring(), SIXTEEN)
    assert found.miou == float((sidewalk + BUILDING + WALL + ROAD + 12) / 16)
    assert found.iou["vegetation"] == 1, "terrain's four pixels are ignored"
    assert scored(sixteen_way, Scoring(subset="13"), SIXTEEN).miou == float((sidewalk + BUILDING + ROAD + 10) / 13)
    assert len({float(nineteen), float(sixteen), float(thirteen), found.miou}) == 4


def test_a_list_of_classes_ignores_what_it_leaves_out():
    """The 16 names as a list: terrain's pixels are ignored, so vegetation has no error; road's still misses."""
    found = scored(street(), Scoring(subset=SIXTEEN))
    assert found.iou["vegetation"] == 1 and found.iou["road"] == 0.9
    assert found.miou == float((BUILDING + WALL + ROAD + 13) / 16)
    counted = scored(street(), Scoring(subset=SIXTEEN, outside="count"))
    assert counted == scored(street(), Scoring(subset="16a"))


def test_outside_is_counted_by_hand():
    """Road and sky scored, car outside. Ignored: road 6 / 9, sky 5 / 8. Counted: car's pixel called road: 6 / 10."""
    both = ("road", "sky")
    assert scored(COUNTS, Scoring(subset=both), NAMES) == Scores({"road": 6 / 9, "sky": 5 / 8}, 31 / 48, 11 / 16)
    found = scored(COUNTS, Scoring(subset=both, outside="count"), NAMES)
    assert found == Scores({"road": 6 / 10, "sky": 5 / 8}, float(Fraction(49, 80)), 14 / 20)


def test_pixel_accuracy_with_outside_counted_is_that_of_all_classes():
    """A pixel of terrain called terrain is right, in 16a as in 19: 180 of 190."""
    accuracies = {scored(street(), Scoring(subset=name)).pixel_accuracy for name in ("19", "16a", "13")}
    assert accuracies == {180 / 190}


def test_a_dropped_class_is_outside_too():
    """SYNTHIA lacks terrain, truck and train: `drop` and 16a agree, as terrain's pixels stay in both."""
    lacks = {"terrain", "truck", "train"}
    dropped = Scoring(absent="drop", subset="19", outside="ignore")
    assert kept(dropped, source_lacks=lacks) == kept(Scoring(subset="16a"), source_lacks=lacks)
    counted = Scoring(absent="drop", outside="count")
    expected = scored(street(), Scoring(subset="16a", absent="field"))
    assert scored(street(), counted, source_lacks=lacks) == expected
    assert scored(street(), Scoring(absent="drop"), source_lacks=lacks).iou["vegetation"] == 1


def test_nineteen_sixteenths_equals_16a_exactly_if_three_ious_are_zero():
    """Terrain, truck and train never right: equal. Once right: higher. In neither truth nor prediction: too high."""
    never = street()
    for name in ("terrain", "truck", "train"):
        row = CITYSCAPES.index(name)
        never[row, row - 1] += never[row, row]
        never[row, row] = 0
    nineteen, sixteen = (scored(never, Scoring(subset=name, absent="field")) for name in ("19", "16a"))
    assert [nineteen.iou[name] for name in ("terrain", "truck", "train")] == [0, 0, 0]
    assert nineteen_sixteenths(nineteen) == pytest.approx(sixteen.miou, abs=1e-15)
    once = never.copy()
    once[9, 9] = 1
    nineteen, sixteen = (scored(once, Scoring(subset=name)) for name in ("19", "16a"))
    assert nineteen_sixteenths(nineteen) == pytest.approx(sixteen.miou + nineteen.iou["terrain"] / 16, abs=1e-15)
    gone = np.diag([10] * 19)
    gone[[9, 14, 16]] = 0
    nineteen, sixteen = (scored(gone, Scoring(subset=name)) for name in ("19", "16a"))
    assert nineteen.iou["train"] is None and sixteen.miou == 1 and nineteen_sixteenths(nineteen) == 19 / 16
    assert nineteen_sixteenths(Scores({}, None, None)) is None


def test_a_prediction_of_no_class_is_an_error_of_its_true_class_only():
    """Column K of void pixels: road 6 right, 1 called car, 3 void: 6 / 10; car 3 right, 1 of road's: 3 / 4."""
    found = scores(np.array([[6, 1, 3], [0, 3, 0]]), classes=("road", "car"), kept=(0, 1))
    assert found == Scores({"road": 0.6, "car": 0.75}, 0.675, 9 / 13)
    truth, called = np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 2, 2, 2]], np.uint8)
    counts = confusion(truth, called, classes=2, ignore_index=255, void=True)
    assert counts.tolist() == [[1, 0, 1], [0, 0, 1]]
    with pytest.raises(BadInput, match=r"holds id 3, classes are 0\.\.1"):
        confusion(truth, called + np.uint8(1), classes=2, ignore_index=255, void=True)


def test_names_of_subsets_are_read_as_text_or_number():
    """YAML reads 19 as a number; a name brings its rule for what lies outside, and both are in the identity."""
    assert checked(Scoring, {"subset": 19}, "scoring") == Scoring(subset="19", outside="ignore")
    assert checked(Scoring, {"subset": 13}, "scoring").outside == "count"
    assert Scoring(subset="16a").identity() == {"subset": "16a", "outside": "count"}
    assert Scoring(subset="16a") == Scoring(subset="16a", outside="count")
    assert {name: len(subset.classes) for name, subset in SUBSETS.items()} == {"19": 19, "16a": 16, "13": 13}
    assert set(SIXTEEN) - set(THIRTEEN) == {"wall", "fence", "pole"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"subset": "16"}, "subset: value error, no subset is named '16'; did you mean '16a'"),
        ({"subset": 16}, "no subset is named '16'; did you mean '16a'"),
        ({"subset": "16b"}, "no subset is named '16b'; 16b is a suite of the space cityscapes-16"),
        ({"subset": "vessel"}, "no subset is named 'vessel'; known are 13, 16a, 19; or give a list of classes"),
        ({"subset": "16a", "outside": "ignore"}, "subset 16a means outside: count; list the classes instead"),
        ({"outside": "drop"}, "outside: input should be 'ignore' or 'count'"),
    ],
)
def test_wrong_names_and_rules_are_refused(values, message):
    """With the nearest name, or what the subset means."""
    with pytest.raises(BadInput, match=message):
        checked(Scoring, values, "scoring")


def test_a_subset_of_a_suite_that_does_not_tell_its_classes_apart_is_refused():
    """16a on a suite of 16 classes would be 16b under another name."""
    with pytest.raises(BadInput, match="16a is measured where 'terrain' is told apart"):
        kept(Scoring(subset="16a"), SIXTEEN)
    assert kept(Scoring(subset="13"), SIXTEEN) == tuple(SIXTEEN.index(name) for name in THIRTEEN)


def test_later_settings_change_no_old_fingerprint_and_no_old_record():
    """At their defaults they are in neither, so that the same settings give the same bytes."""
    assert Scoring().identity() == {} and Scoring().model_dump(mode="json") == {"absent": "drop", "subset": None}
    assert Scoring(subset=["road"]).model_dump(mode="json") == {"absent": "drop", "subset": ["road"]}
    later = Scoring(truth="half", regions={"r": ["road"]})
    assert later.identity() == {"truth": "half", "regions": {"r": ["road"]}}
    assert Scoring.model_validate(later.model_dump(mode="json")) == later
