"""Results that change behind the workflow's back: a cut zip of predictions, weights with another byte."""

from pathlib import Path

import pytest
from conftest import small_config

from xdseg.cli import main
from xdseg.params import load
from xdseg.workflow import Plan


@pytest.fixture
def cell(project):
    """One cell that is trained and predicted."""
    project.write(small_config(methods=["source-only"], pairs=["a->b"]))
    plan = Plan(load())
    (cell,) = plan.cells
    run = str(cell.run.folder)
    for path in sorted({*plan.training_inputs(run), *plan.prediction_inputs(run)}):
        assert main(["cache", path]) == 0
    assert main(["train", f"{run}/run.json"]) == 0
    assert main(["predict", plan.predictions[run]]) == 0
    return cell


def receipts(cell) -> list[Path]:
    """What the finding says to delete."""
    return [*cell.run.folder.glob("predictions-*.json")]


def test_truncated_predictions(cell, capsys):
    """Scoring refuses a cut zip and names the mend; that makes the very bytes again, and the score is as it was."""
    path, (receipt,) = cell.folder / "predictions.zip", receipts(cell)
    assert main(["score", str(cell.score_path)]) == 0
    whole, score = path.read_bytes(), cell.score_path.read_bytes()
    cell.score_path.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    assert main(["score", str(cell.score_path)]) == 2
    finding = "not the file that predictions.json names: cut short or changed"
    assert capsys.readouterr().err == (
        f"xdseg: {path}: {finding}; delete {cell.run.folder}/predictions-*.json and run again\n"
    )
    assert not cell.score_path.exists()
    receipt.unlink()
    assert main(["predict", str(receipt)]) == 0
    assert path.read_bytes() == whole
    assert main(["score", str(cell.score_path)]) == 0
    assert cell.score_path.read_bytes() == score


def test_changed_predictions_of_equal_form(cell, capsys):
    """A whole zip, but another one, is not scored under the old name either; nor is one that is gone."""
    path = cell.folder / "predictions.zip"
    path.write_bytes(path.read_bytes() + b"\0")
    assert main(["score", str(cell.score_path)]) == 2
    assert "cut short or changed" in capsys.readouterr().err
    path.unlink()
    assert main(["score", str(cell.score_path)]) == 2
    assert f"{path}: missing; delete {cell.run.folder}/predictions-*.json and run again" in capsys.readouterr().err


def test_weights_with_another_byte(cell, capsys):
    """They are not predicted with; the mend trains the very weights again."""
    weights, receipt, (predicted,) = (
        cell.run.folder / "weights.safetensors",
        cell.run.folder / "run.json",
        receipts(cell),
    )
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    predicted.unlink()
    (cell.folder / "predictions.zip").unlink()
    capsys.readouterr()
    assert main(["predict", str(predicted)]) == 2
    said = capsys.readouterr().err
    assert f"{weights}: not the file that run.json names: cut short or changed; delete {receipt} and run again" in said
    receipt.unlink()
    assert main(["train", str(receipt)]) == 0
    assert weights.read_bytes() == whole
    assert main(["predict", str(predicted)]) == 0
