"""Predictions in Cityscapes' raw ids: the numbers of cityscapesScripts, the tool behind Cityscapes' own server."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as theirs
from conftest import small_config
from PIL import Image

from xdseg.cells import Context
from xdseg.data.store import PixelStore, write_store
from xdseg.datasets.cityscapes import IDS, SCORED
from xdseg.datasets.registry import dataset
from xdseg.datasets.spaces import CITYSCAPES, SIXTEEN
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import load_confusion, score_split, write_predictions
from xdseg.evaluation.raw_ids import RawIds
from xdseg.evaluation.scores import Scores, scores
from xdseg.params import parse
from xdseg.reporting.records import load_record
from xdseg.stages.score import enter

Images = list[np.ndarray]
VOID = sorted(set(IDS) - set(SCORED))
SHAPE = (24, 40)
RNG = np.random.default_rng(11)
ROAD, WALL, SKY, TRAIN = 7, 12, 23, 31


def their_scores(folder: Path, truths: Images, called: Images) -> tuple[dict[str, float], float]:
    """IoU by name, NaN where there is none, and their mean, by evaluatePair and the tool's own functions."""
    args = theirs.CArgs()
    args.evalInstLevelScore = args.evalPixelAccuracy = False
    matrix = theirs.generateMatrix(args)
    for truth, ids in zip(truths, called, strict=True):
        files = [str(folder / f"{name}.png") for name in ("prediction", "truth")]
        for file, array in zip(files, (ids, truth), strict=True):
            Image.fromarray(array).save(file)
        theirs.evaluatePair(*files, matrix, {}, {}, args)
    labels = {theirs.id2label[raw].name: raw for raw in SCORED}
    found = {name: theirs.getIouScoreForLabel(raw, matrix, args) for name, raw in labels.items()}
    return found, theirs.getScoreAverage(found, args)


def our_scores(folder: Path, truths: Images, called: Images, classes: tuple[str, ...] = CITYSCAPES) -> Scores:
    """The scores of the same raw ids, through stored truth, stored predictions and `--ids`."""
    table = dataset("cityscapes").table("cityscapes", classes)
    names = [f"im{number}" for number in range(len(truths))]
    write_store(folder / "truth.json", names=names, arrays=[table[truth] for truth in truths], digest="d")
    write_predictions(folder / "p.zip", zip(names, called, strict=True))
    _, per_image = score_split(
        folder / "p.zip",
        PixelStore(folder / "truth.json"),
        classes=len(classes),
        ignore_index=255,
        raw=RawIds.of("cityscapes", classes),
    )
    return scores(per_image.sum(axis=0), classes=classes, kept=tuple(range(len(classes))))


def noise(ids=tuple(IDS), *, count: int = 2) -> Images:
    """Random raw ids."""
    return [RNG.choice(np.array(ids, np.uint8), SHAPE) for _ in range(count)]


def flat(raw: int) -> Images:
    """Two images of one id."""
    return [np.full(SHAPE, raw, np.uint8)] * 2


def nearly(truths: Images) -> Images:
    """A prediction that is right but for a tenth of the pixels, where it is any id."""
    return [np.where(RNG.random(SHAPE) < 0.1, wrong, truth) for truth, wrong in zip(truths, noise(), strict=True)]


TRUTHS = noise()
SCORED_TRUTHS = noise(SCORED)
FEW = noise((ROAD, WALL, SKY))
CASES = {
    "all ids in truth and prediction": (TRUTHS, noise()),
    "nearly right": (TRUTHS, nearly(TRUTHS)),
    "right": (SCORED_TRUTHS, SCORED_TRUTHS),
    "void ids only": (TRUTHS, noise(VOID)),
    "one ignored id everywhere": (TRUTHS, flat(VOID[0])),
    "parking everywhere": (TRUTHS, flat(9)),
    "one class everywhere": (TRUTHS, flat(ROAD)),
    "truth of nothing but void": (noise(VOID), noise()),
    "void in truth called void": (noise(VOID), noise(VOID)),
    "classes absent from truth, predicted": (FEW, noise()),
    "classes in neither": (FEW, nearly(FEW)[:1] + FEW[1:]),
    "a class only predicted on void": (flat(4), flat(TRAIN)),
    "one image": (TRUTHS[:1], noise(count=1)),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_cityscapes_scripts(tmp_path, case):
    """IoU of every class and their mean to 1e-12; None where the tool has NaN."""
    truths, called = CASES[case]
    expected, average = their_scores(tmp_path, truths, called)
    found = our_scores(tmp_path, truths, called)
    assert found.iou.keys() == expected.keys()
    for name, value in found.iou.items():
        assert math.isnan(expected[name]) if value is None else value == pytest.approx(expected[name], abs=1e-12), name
    assert math.isnan(average) if found.miou is None else found.miou == pytest.approx(average, abs=1e-12)


def test_the_cases_reach_what_they_are_meant_to(tmp_path):
    """Void predictions give 0 where there is truth, and no case of None is vacuous."""
    assert set(our_scores(tmp_path, *CASES["void ids only"]).iou.values()) == {0.0}
    assert set(our_scores(tmp_path, *CASES["truth of nothing but void"]).iou.values()) == {None}
    absent = our_scores(tmp_path, *CASES["classes absent from truth, predicted"]).iou
    assert absent["train"] == 0.0 and absent["road"] > 0
    neither = [np.where(ids == TRAIN, ROAD, ids) for ids in noise(SCORED)]
    assert our_scores(tmp_path, FEW, neither).iou["train"] is None


def test_an_ignored_id_costs_its_true_class_alone(tmp_path):
    """Of four road pixels one is called parking, of two sky pixels one road: road 3 / 5, sky 1 / 2, by hand."""
    truth = np.array([[ROAD, ROAD, ROAD, ROAD, SKY, SKY, 4]], np.uint8)
    called = np.array([[ROAD, ROAD, ROAD, 9, SKY, ROAD, ROAD]], np.uint8)
    expected, _ = their_scores(tmp_path, [truth], [called])
    found = our_scores(tmp_path, [truth], [called]).iou
    assert (found["road"], found["sky"]) == (3 / 5, 1 / 2) == (expected["road"], expected["sky"])


def test_a_class_that_the_suite_leaves_out_is_void_too(tmp_path):
    """16 classes: a pixel of road called train is an error of road and of nothing else."""
    truth = np.array([[ROAD, ROAD, TRAIN]], np.uint8)
    found = our_scores(tmp_path, [truth], [np.array([[ROAD, TRAIN, TRAIN]], np.uint8)], SIXTEEN)
    assert found.iou["road"] == 1 / 2 and found.pixel_accuracy == 1 / 2


@pytest.mark.parametrize("raw", [34, 200, 255])
def test_an_id_that_cityscapes_does_not_have_is_refused(tmp_path, raw):
    """The tool ends with an IndexError; here a line names image and id, and says how -1 becomes 255."""
    called = [RNG.choice(np.array([ROAD, raw], np.uint8), SHAPE)]
    with pytest.raises(IndexError):
        their_scores(tmp_path, TRUTHS[:1], called)
    with pytest.raises(BadInput, match=rf"im0\.png: the prediction holds id {raw}.*, which Cityscapes does not have"):
        our_scores(tmp_path, TRUTHS[:1], called)
    with pytest.raises(BadInput) as error:
        our_scores(tmp_path, TRUTHS[:1], called)
    assert ("-1 becomes it" in str(error.value)) == (raw == 255)


def test_a_negative_id_reaches_neither_tool(tmp_path):
    """Id -1 (license plate) fits no PNG: in 8 bits it is 255, in 16 bits 65535; the tool ends, we say why.

    In the truth, id 255 ends the tool.
    """
    assert np.array(-1).astype(np.uint8) == 255
    folder = tmp_path / "wide"
    folder.mkdir()
    write_store(tmp_path / "truth.json", names=["im0"], arrays=[np.zeros(SHAPE, np.uint8)], digest="d")
    Image.fromarray(np.full(SHAPE, -1).astype(np.uint16)).save(folder / "im0.png")
    with pytest.raises(BadInput, match=r"im0\.png: an image of 16 bits a pixel"):
        score_split(folder, PixelStore(tmp_path / "truth.json"), classes=19, ignore_index=255)
    with pytest.raises(IndexError):
        their_scores(tmp_path, TRUTHS[:1], [np.full(SHAPE, -1).astype(np.uint16)])
    with pytest.raises(SystemExit):
        their_scores(tmp_path, [np.full(SHAPE, 255, np.uint8)], flat(ROAD)[:1])


def test_raw_ids_of_a_data_set_without_common_classes_are_refused():
    """Vessels have no raw ids of Cityscapes; a misspelt data set is answered with the nearest."""
    with pytest.raises(BadInput, match="none of its classes is one of the suite's"):
        RawIds.of("cityscapes", ("background", "vessel"))
    with pytest.raises(BadInput, match="unknown data set 'cityscape'; did you mean 'cityscapes'"):
        RawIds.of("cityscape", CITYSCAPES)


@pytest.fixture
def raw_predictions(project, data, tmp_path) -> Path:
    """Of b's evaluation images: sky as raw id 23, all else as `ground`, 6, which Cityscapes ignores."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("04", "05"):
        label = np.array(Image.open(data / f"toy/b/labels/{name}.png"))
        Image.fromarray(np.where(label == 2, SKY, 6).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def entered(folder: Path, ids: str | None) -> dict:
    """The record of the predictions, entered as my-net on a->b."""
    context = Context.of(parse(small_config()))
    path = enter(folder, context, method="my-net", pair="a->b", setting="source", seed=0, ids=ids)
    return load_record(path) | {"path": path}


def test_a_row_is_entered_from_raw_ids(raw_predictions, data):
    """Sky is right, the others are void: 0, not None. Record and per-image counts say how many pixels are void."""
    record = entered(raw_predictions, "cityscapes")
    labels = np.stack([np.array(Image.open(data / f"toy/b/labels/{name}.png")) for name in ("04", "05")])
    counts = [int((labels == c).sum()) for c in range(3)]
    assert record["scores"]["iou"] == {"ground": 0.0, "thing": 0.0, "sky": 1.0}
    assert record["scores"]["void"] == [counts[0], counts[1], 0] and record["ids"] == "cityscapes"
    assert record["scores"]["confusion"] == [[0, 0, 0], [0, 0, 0], [0, 0, counts[2]]]
    names, per_image = load_confusion(record["path"].with_suffix(".npz"))
    assert names == ("04", "05") and per_image.shape == (2, 3, 4)
    assert per_image.sum(axis=0)[:, 3].tolist() == record["scores"]["void"]


def test_raw_ids_without_void_are_stored_like_any_other(raw_predictions, data):
    """Sky everywhere: no pixel is void, so counts are (N, K, K) and the score has its usual keys."""
    for name in ("04", "05"):
        Image.fromarray(np.full((24, 32), SKY, np.uint8)).save(raw_predictions / f"{name}.png")
    record = entered(raw_predictions, "cityscapes")
    assert load_confusion(record["path"].with_suffix(".npz"))[1].shape == (2, 3, 3)
    assert sorted(record["scores"]) == ["confusion", "images", "iou", "kept", "miou", "pixel_accuracy"]


def test_raw_ids_are_never_taken_for_class_ids(raw_predictions):
    """Without --ids, 23 is no class; with a wrong name nothing is entered."""
    with pytest.raises(BadInput, match=r"04\.png: the prediction holds id 23, classes are 0\.\.2"):
        entered(raw_predictions, None)
    with pytest.raises(BadInput, match="--ids city: unknown data set 'city'"):
        entered(raw_predictions, "city")
    assert not Path("records").exists()


def test_a_row_of_class_ids_is_recorded_as_before(project, data, tmp_path):
    """Nothing in such a record speaks of raw ids, void, sizes of truth or Dice."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("04", "05"):
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(folder / f"{name}.png")
    record = entered(folder, None)
    assert record["protocol"]["inference"] == {"size": "native", "mode": "whole", "window": None, "stride": None}
    assert record["protocol"]["scoring"] == {"absent": "drop", "subset": None}
    assert sorted(record["scores"]) == ["confusion", "images", "iou", "kept", "miou", "pixel_accuracy"]
    assert "ids" not in json.loads(record["path"].read_text())
