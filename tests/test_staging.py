"""Decoded pixels on a node's own disk: the same ones, copied once, and never at the cost of a run."""

import os
from pathlib import Path

import numpy as np
import pytest

from xdseg.data import staging
from xdseg.data.store import FileStore, open_store, write_file_store, write_store
from xdseg.errors import BadInput

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A decoded split in the shared folder."""
    path = tmp_path / "shared/toy/a--train--images--0123abcd.json"
    write_store(path, names=["one"], arrays=[PIXELS], digest="0123abcd")
    return path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's own disk, named through a variable as on a cluster."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("NODE_SCRATCH", str(folder))
    monkeypatch.setenv("XDSEG_STAGE", "$NODE_SCRATCH")
    return folder


def test_off_unless_asked_for(index: Path, monkeypatch):
    """Without the variable the shared folder is read."""
    monkeypatch.delenv("XDSEG_STAGE", raising=False)
    assert open_store(index).index == index


def test_reads_the_copy(index: Path, scratch: Path):
    """Pixels come from the copy, even once the shared ones are gone."""
    store = open_store(index)
    index.with_suffix(".bin").unlink()
    assert store.index.is_relative_to(scratch)
    np.testing.assert_array_equal(store[0], PIXELS)
    assert store.names == ("one",) and store.digest == "0123abcd"


def test_copies_once_and_anew_for_another_split(index: Path, scratch: Path):
    """A second process adopts the copy; one of the same name with another index is copied over it."""
    copy = open_store(index).index
    made = copy.with_suffix(".bin").stat().st_mtime_ns
    assert open_store(index).index == copy and copy.with_suffix(".bin").stat().st_mtime_ns == made
    write_store(index, names=["one", "two"], arrays=[PIXELS, PIXELS + 1], digest="0123abcd")
    np.testing.assert_array_equal(open_store(index)[1], PIXELS + 1)


def test_a_part_of_a_copy_is_not_taken_for_whole(index: Path, scratch: Path):
    """What a killed process left has no index, so it is copied again."""
    copy = open_store(index).index
    copy.unlink()
    copy.with_suffix(".bin").write_bytes(b"part")
    np.testing.assert_array_equal(open_store(index)[0], PIXELS)


def test_a_full_disk_costs_speed_only(index: Path, scratch: Path, monkeypatch, capsys):
    """Where nothing can be copied the shared folder is read, and a line says so."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.shutil, "copyfile", full)
    store = open_store(index)
    assert store.index == index
    np.testing.assert_array_equal(store[0], PIXELS)
    assert "not staged in" in (said := capsys.readouterr().out) and "No space left on device" in said
    assert not list(scratch.rglob("*.bin"))


def test_a_folder_of_somebody_else_is_not_read(index: Path, scratch: Path, capsys):
    """In a folder that everybody can write to, a stranger's pixels must not be trained on."""
    own = scratch / f"xdseg-{os.getuid()}"
    own.mkdir()
    own.chmod(0o777)
    assert open_store(index).index == index
    assert "is not this user's alone" in capsys.readouterr().out


def test_a_variable_that_the_node_lacks_is_named(index: Path, monkeypatch):
    """A misspelt variable is bad input, not a folder called `$...`."""
    monkeypatch.setenv("XDSEG_STAGE", "$NO_SUCH_SCRATCH/x")
    with pytest.raises(BadInput, match=r"XDSEG_STAGE=\$NO_SUCH_SCRATCH/x: not set on .*; name a folder"):
        open_store(index)


def test_splits_decoded_on_the_fly_stay_where_they_are(tmp_path: Path, scratch: Path):
    """They have no pixels in one file to copy."""
    index = tmp_path / "shared/toy/b.json"
    write_file_store(index, names=[], files=[], shapes=[], digest="d")
    assert isinstance(open_store(index), FileStore)
    assert not list(scratch.iterdir())
