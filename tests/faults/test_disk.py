"""A disk that is full, and one that may not be written: a line with the mend, exit code 1, and nothing lost by it."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
import tiny_jobs
import torch
from disks import disk
from tiny_runs import fit

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.faults import machine_fault
from xdseg.params import load
from xdseg.process import run_lock
from xdseg.training import loop
from xdseg.workflow import Plan

NOBODY = 65534  # an account without rights
FULL = "no space left on device; free some space, then run it again: what is finished is kept"


def job_of(tmp_path):
    """Ten steps of the toy network."""
    return tiny_jobs.make_job(tmp_path)


def names(folder: Path) -> set[str]:
    """Everything in a folder, hidden files too."""
    return {path.name for path in folder.iterdir()}


def test_disk_full_while_a_state_is_saved(tmp_path, monkeypatch, capsys):
    """The run ends with the line; the state before stays whole, no part of a file is left, it goes on from there."""
    unbroken, real = fit(job_of(tmp_path), tmp_path / "unbroken", checkpoint_every=2), loop.save_resume
    with disk(tmp_path / "disk", size="1m") as small:
        run = small.folder / "run"

        def save(folder, state):
            if state["done"] == 4:
                small.fill()
            real(folder, state)

        monkeypatch.setattr(loop, "save_resume", save)
        with pytest.raises(Exception) as failed:
            fit(job_of(tmp_path), run, checkpoint_every=2)
        assert machine_fault(failed.value) == FULL
        assert names(run) == {"curve.jsonl", "resume.pt"}
        assert torch.load(run / "resume.pt", weights_only=True)["done"] == 2
        monkeypatch.setattr(loop, "save_resume", real)
        small.empty()
        resumed = fit(job_of(tmp_path), run, checkpoint_every=2)
    assert "resuming after step 2" in capsys.readouterr().out
    assert resumed["weights_sha256"] == unbroken["weights_sha256"]


def test_disk_full_when_the_weights_are_written(tmp_path, monkeypatch):
    """All steps are done and the last file does not fit: the states stay, and only what came after them is repeated."""
    unbroken, real = fit(job_of(tmp_path), tmp_path / "unbroken"), loop.save_weights
    with disk(tmp_path / "disk", size="1m") as small:
        run = small.folder / "run"

        def save(*arguments, **options):
            small.fill()
            return real(*arguments, **options)

        monkeypatch.setattr(loop, "save_weights", save)
        with pytest.raises(Exception) as failed:
            fit(job_of(tmp_path), run)
        assert machine_fault(failed.value) == FULL
        assert names(run) == {"curve.jsonl", "resume.pt", "resume.previous.pt"}
        monkeypatch.setattr(loop, "save_weights", real)
        small.empty()
        assert fit(job_of(tmp_path), run)["weights_sha256"] == unbroken["weights_sha256"]


def decode() -> int:
    """The exit code of the first stage of the workflow: one split is decoded."""
    plan = Plan(load())
    return main(["cache", next(path for path in plan.training_inputs(next(iter(plan.runs))) if "images" in path)])


def test_disk_full_in_a_command(project, capsys):
    """The line on the terminal, exit code 1, nothing half-written; with room, the same command does its work."""
    with disk(project.folder / "results", size="1m") as small:
        small.fill()
        assert decode() == 1
        said = capsys.readouterr().err
        assert said.startswith("xdseg: ") and FULL in said and said.count("\n") == 1
        assert not [path for path in small.folder.rglob("*") if path.suffix in (".json", ".bin")]
        small.empty()
        assert decode() == 0


def test_read_only_folder(project, capsys):
    """Nothing is written to `results/` or `reports/`: the line names the place; what only reads works on."""
    with disk(project.folder / "results", size="1m") as small:
        small.close()
        assert decode() == 1
        said = capsys.readouterr().err
        assert "results/.cache" in said and "read-only file system; make it writable, or work in a folder" in said
        assert said.count("\n") == 1
        assert main(["status"]) == 0 and main(["params"]) == 0
        small.reopen()
        assert decode() == 0
    with disk(project.folder / "reports", size="1m") as closed:
        closed.close()
        capsys.readouterr()
        assert main(["front"]) == 1
        assert "read-only file system" in capsys.readouterr().err


def as_nobody(folder: Path) -> str:
    """What another account is told that takes a run's lock, in a process of its own."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        try:
            os.setuid(NOBODY)
            with run_lock(folder):
                os.write(theirs, b"taken")
        except OSError as error:
            os.write(theirs, str(machine_fault(error)).encode())
        finally:
            os._exit(0)
    os.wait()
    return os.read(ours, 1000).decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="another account can be had by root alone")
def test_another_account_is_told_whose_lock_it_may_not_take():
    """A run's folder is that of the account that began it, even where others may write to the folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        assert as_nobody(folder) == "taken"
        (folder / ".lock").unlink()
        with run_lock(folder):
            said = as_nobody(folder)
        assert said.startswith(f"{folder}/.lock: permission denied; make it writable, or work in a folder that is")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "", "a/b"), f"a/b: {FULL}"),
        (OSError(errno.EDQUOT, "x"), "disk quota exceeded; free some space"),
        (OSError(errno.EFBIG, "x"), "file too large; free some space"),
        (PermissionError(errno.EACCES, "x", "c"), "c: permission denied; make it writable"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), FULL),
    ],
)
def test_what_the_system_says_becomes_a_line(error, line):
    """By the number, whoever raises it, and also where it is what another error was raised from."""
    assert machine_fault(error).startswith(line)
    outer = RuntimeError("unexpected pos 576 vs 534")
    outer.__context__ = error
    assert machine_fault(outer).startswith(line)


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), BadInput("memory")])
def test_other_errors_are_not_taken_for_the_machines(error):
    """A defect keeps its traceback."""
    assert machine_fault(error) is None


def test_a_ring_of_causes_ends():
    """Two errors that name each other are each looked at once."""
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert machine_fault(one) is None
