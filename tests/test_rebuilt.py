"""Boards of the repository, built again from their records alone: every file has the bytes that are committed."""

from pathlib import Path

import pytest
from conftest import ROOT

from xdseg.params import load
from xdseg.stages.board import UNPUBLISHED, board
from xdseg.workflow import Plan

CLONED = ("backbones", "data", "params.yaml", "pipeline", "records")  # what a board is built of


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mfm_ablation", "vessels"])
def test_a_clone_without_data_gives_the_committed_bytes(tmp_path, monkeypatch, name):
    """No result, no image, no label at hand: tables, figures and the page are those of reports/, none more or less."""
    for part in CLONED:
        (tmp_path / part).symlink_to(ROOT / part)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    monkeypatch.setenv("XDSEG_DATA", str(tmp_path / "no data"))
    params = load([Path(f"pipeline/presets/{name}.yaml")])
    folder = Path(Plan(params).board)
    board(folder, params)
    committed = {path.name: path.read_bytes() for path in (ROOT / "reports" / name).iterdir()}
    made = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in UNPUBLISHED}
    assert sorted(made) == sorted(committed)
    assert [file for file in made if made[file] != committed[file]] == [], "build the board again and commit it"
