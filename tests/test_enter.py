"""`xdseg score --predictions`: a row from any other code base, scored alike and flagged."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import small_config
from PIL import Image

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.params import merge, parse
from xdseg.stages.board import board, publish
from xdseg.workflow import Plan


@pytest.fixture
def predictions(project, data, tmp_path) -> Path:
    """Perfect predictions of b's evaluation images, but for one row of ground called thing."""
    folder = tmp_path / "pngs"
    folder.mkdir()
    for name in ("04", "05"):
        label = np.array(Image.open(data / f"toy/b/labels/{name}.png"))
        label[label == 255] = 0
        label[-1, :] = 1
        Image.fromarray(label).save(folder / f"{name}.png")
    return folder


def enter(folder: Path, *extra: str) -> int:
    """Enter the predictions as my-net on a->b."""
    return main(["score", "--predictions", str(folder), "--method", "my-net", "--pair", "a->b", *extra])


def records() -> list[Path]:
    """Records of my-net."""
    return sorted(Path("records/toy/my-net/a--b").glob("*.json"))


def test_scores_by_hand(predictions, data):
    """Two images of 24x32 with one ignored column: 2x31 ground pixels are called thing, the rest is right."""
    assert enter(predictions) == 0
    (path,) = records()
    scores = json.loads(path.read_text())["scores"]
    labels = [np.array(Image.open(data / f"toy/b/labels/{name}.png")) for name in ("04", "05")]
    things = sum(int((label == 1).sum()) for label in labels)
    wrong = sum(int((label[-1] == 0).sum()) for label in labels)
    grounds = sum(int((label == 0).sum()) for label in labels)
    assert wrong == 62
    assert scores["iou"]["thing"] == pytest.approx(things / (things + wrong), abs=1e-12)
    assert scores["iou"]["ground"] == pytest.approx((grounds - wrong) / grounds, abs=1e-12)
    assert scores["iou"]["sky"] == 1
    assert path.with_suffix(".npz").exists()


def test_row_stands_on_the_board_flagged(predictions):
    """The board shows it as entered, beside the grid's own rows."""
    assert enter(predictions, "--setting", "uda") == 0
    params = parse(merge(small_config(pairs=["a->b"]), {}))
    assert len(Plan(params).entered) == 1
    folder = Path(Plan(params).partial)
    board(folder, params, partial=True)
    (row,) = [r for r in (folder / "cells.csv").read_text().splitlines() if r.startswith("my-net,")]
    assert row.startswith("my-net,uda,a,b,0,ok,") and ",predictions," in row


def test_entered_under_other_rules_is_left_out(project, predictions):
    """A row that was scored over other classes is not set beside this grid's."""
    assert enter(predictions) == 0
    other = merge(small_config(), {"protocols": {"tiny": {"scoring": {"subset": ["ground", "sky"]}}}})
    assert Plan(parse(other)).entered == []
    project.write(other)
    assert enter(predictions) == 0
    assert len(records()) == 2, "nor does entering it under other rules take the first one away"
    assert len(Plan(parse(other)).entered) == len(Plan(parse(small_config())).entered) == 1


def test_damaged_record_is_one_line(predictions):
    """A plan does not die of a broken file that somebody committed."""
    assert enter(predictions) == 0
    records()[0].write_text('{"origin": "predictions"}')
    with pytest.raises(BadInput, match=r"records/toy/my-net/.*delete it and enter the row again"):
        Plan(parse(small_config())).entered  # noqa: B018


def test_board_of_other_settings_is_refused(project):
    """A stale table is not published."""
    with pytest.raises(BadInput, match="not the board of the settings in force"):
        publish(Path("results/toy/board-00000000"), parse(small_config()))


def test_entering_again_replaces(predictions):
    """Corrected predictions take the place of the earlier ones."""
    assert enter(predictions) == 0
    before = records()
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(predictions / "04.png")
    assert enter(predictions) == 0
    assert len(records()) == 1 and records() != before


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "04.png").unlink(), "missing (1): 04"),
        (lambda folder: Image.fromarray(np.zeros((24, 31), np.uint8)).save(folder / "04.png"), "04"),
        (lambda folder: Image.fromarray(np.full((24, 32), 3, np.uint8)).save(folder / "04.png"), "04"),
        (lambda folder: Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "04.png"), "04"),
        (lambda folder: (folder / "04.png").write_bytes((folder / "05.png").read_bytes()[:80]), "04"),
    ],
    ids=["missing", "size", "id", "colour", "truncated"],
)
def test_bad_predictions_are_refused_whole(predictions, capsys, spoil, message):
    """One bad file: exit code 2, its name in the line, and no record at all."""
    spoil(predictions)
    assert enter(predictions) == 2
    assert message in capsys.readouterr().err
    assert not Path("records").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--method", "oracle", "--pair", "a->b"], "params.yaml defines it"),
        (["--method", "My Net", "--pair", "a->b"], "a method is named by"),
        (["--method", "my-net", "--pair", "a->c"], "no domain 'c'"),
        (["--method", "my-net", "--pair", "ab"], "--pair ab: 'ab' is no pair"),
        (["--method", "my-net", "--pair", "b->b"], "b is source and target"),
        (["--method", "my-net", "--pair", "a->b", "--seed", "-1"], "a seed is 0 or more"),
        (["--method", "my-net"], "together"),
    ],
)
def test_bad_arguments(predictions, capsys, arguments, message):
    """Each with exit code 2 and a line that says what to write."""
    assert main(["score", "--predictions", str(predictions), *arguments]) == 2
    assert message in capsys.readouterr().err
