"""A run's lock while somebody removes the run's folder: whoever waited holds the folder that is there now."""

import fcntl
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from xdseg import process
from xdseg.inspection.holding import holder
from xdseg.inspection.removal import hide, remove
from xdseg.process import run_lock

PATIENCE = 60.0  # seconds that nothing here comes near


@contextmanager
def at_work(folder: Path):
    """A thread that comes to hold a folder and holds it through the block; gives the event that says it does."""
    inside, leave = threading.Event(), threading.Event()

    def work():
        with run_lock(folder):
            inside.set()
            leave.wait(PATIENCE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield inside
    finally:
        leave.set()
        thread.join(PATIENCE)


def until_waiting(capsys) -> None:
    """Return once a process has said that it waits, and is about to."""
    said, end = "", time.monotonic() + PATIENCE
    while "waiting for" not in said:
        assert time.monotonic() < end
        time.sleep(0.01)
        said += capsys.readouterr().out
    time.sleep(0.1)


@pytest.mark.parametrize("how", ["cleaned", "deleted", "made anew"])
def test_a_folder_removed_while_somebody_waits_for_it(tmp_path, capsys, how):
    """The lock that is got is of a file that nobody finds any more; so the new one is taken, for which others wait."""
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with at_work(folder) as inside:
            until_waiting(capsys)
            if how == "cleaned":
                remove(hide(folder))
            else:
                shutil.rmtree(folder)
            if how == "made anew":
                folder.mkdir()
                (folder / ".lock").touch()
            fcntl.flock(file, fcntl.LOCK_UN)
            assert inside.wait(PATIENCE)
            assert (holder(folder) or "").startswith("process "), "a second process would find the folder free"
    assert holder(folder) is None


def test_a_folder_removed_before_its_lock_is_made(tmp_path, monkeypatch):
    """Between making the folder and the lock in it: it is made again."""
    folder, real, calls = tmp_path / "run", Path.open, []

    def removed_first(path, *arguments):
        if not calls:
            path.parent.rmdir()
        calls.append(path)
        return real(path, *arguments)

    monkeypatch.setattr(process.Path, "open", removed_first)
    with run_lock(folder):
        assert holder(folder)
