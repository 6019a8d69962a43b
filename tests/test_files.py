"""Files that bear their name are whole: their bytes are on the disk before, and what they replace goes after."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from xdseg.data.store import write_store
from xdseg.files import temporary, write_json, write_text
from xdseg.training.checkpoint import PREVIOUS, REPORT, RESUME, WEIGHTS, save_resume, save_weights


@pytest.fixture
def events(tmp_path, monkeypatch) -> list[tuple]:
    """What happens in the folder, in order: (synced, bytes, name to be), (renamed, name), (removed, name)."""
    happened, fsync, replace, unlink = [], os.fsync, Path.replace, Path.unlink

    def synced(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        happened.append(("synced", os.fstat(descriptor).st_size, name.removeprefix(".").partition(f".{NODE}.")[0]))
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        happened.append(("renamed", Path(target).name))
        return replace(self, target)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self.exists():
            happened.append(("removed", self.name))
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    return happened


NODE = os.uname().nodename


def test_on_the_disk_before_it_has_its_name(tmp_path, events):
    """Text, JSON and bytes, whole, each before its renaming."""
    write_text(tmp_path / "a", "äb")
    write_json(tmp_path / "b", {})
    with temporary(tmp_path / "c") as unfinished:
        unfinished.write_bytes(b"1234567")
    renamed = [("renamed", name) for name in "abc"]
    assert events == [("synced", 3, "a"), renamed[0], ("synced", 3, "b"), renamed[1], ("synced", 7, "c"), renamed[2]]


def test_pixels_come_before_their_index(tmp_path, events):
    """Zeros of the right length, which a loss of power can leave, would pass for pixels."""
    write_store(tmp_path / "x.json", names=["one"], arrays=[np.ones((2, 3), np.uint8)], digest="d")
    size = (tmp_path / "x.json").stat().st_size
    assert events == [("synced", 6, "x.bin"), ("renamed", "x.bin"), ("synced", size, "x.json"), ("renamed", "x.json")]


def test_states_go_when_weights_and_report_are_on_the_disk(tmp_path, events):
    """A finished training that lost its report, and no longer had a state, would begin anew."""
    for done in (4, 8):
        save_resume(tmp_path, {"fingerprint": "f" * 64, "done": done})
    events.clear()
    save_weights(tmp_path, {"w": torch.ones(3)}, {"steps": 8}, fingerprint="f" * 64)
    named = [(event[0], event[-1]) for event in events]
    first = min(named.index(("removed", name)) for name in (RESUME, PREVIOUS))
    for name in (REPORT, WEIGHTS):
        assert named.index(("synced", name)) < named.index(("renamed", name)) < first


def test_a_disk_that_fails_at_last_leaves_the_old_file(tmp_path, monkeypatch):
    """Some file systems tell of a full disk only when bytes are brought to it: nothing is renamed, no part is left."""
    write_text(tmp_path / "a", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]
