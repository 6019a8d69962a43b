"""Resume states that are damaged: found out by their checksums, and the one before is used."""

import errno
import os
import random
import zipfile
from pathlib import Path

import pytest
import tiny_jobs
import torch
from tiny_runs import fit, interrupted, kill

from xdseg.errors import TrainingFailed
from xdseg.faults import machine_fault
from xdseg.training import checkpoint
from xdseg.training.checkpoint import PREVIOUS, RESUME, load_resume, save_resume

FINGERPRINT = "f" * 64
FIXED, ATTRIBUTES = 46, 38  # bytes before a name in a zip's table of contents, and of them before its attributes
SPOILS = {
    "truncated": lambda data: data[: len(data) // 2],
    "flipped bit": lambda data: flipped(data, len(data) // 3),
    "empty": lambda data: b"",
    "zeros, as after a loss of power": lambda data: bytes(len(data)),
}


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """A copy with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def state_of(done: int) -> dict:
    """A state with two tensors."""
    generator = torch.Generator().manual_seed(done)
    tensors = {"a": torch.rand(40, 40, generator=generator), "b": torch.arange(9)}
    return {"fingerprint": FINGERPRINT, "done": done, "seconds": 0.5, "module": tensors}


def equal(one: dict, other: dict) -> bool:
    """Bit for bit."""
    same = all(torch.equal(one["module"][name], other["module"][name]) for name in other["module"])
    return same and all(one[key] == other[key] for key in ("fingerprint", "done", "seconds"))


@pytest.fixture
def doomed(tmp_path):
    """A job that can be killed, and the digest of its unbroken run."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[("toy-kill", {})])
    return job, fit(job, tmp_path / "unbroken")["weights_sha256"]


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_corrupt_checkpoint_the_one_before_is_used(tmp_path, doomed, capsys, spoil):
    """Killed after step 10 with states of 8 and 4: the one of 8 is damaged, so 4 is gone on from, to the same bytes."""
    job, unbroken = doomed
    kill(tmp_path, job, at=9)
    latest = tmp_path / "broken" / RESUME
    latest.write_bytes(spoil(latest.read_bytes()))
    assert fit(job, tmp_path / "broken")["weights_sha256"] == unbroken
    said = capsys.readouterr().out
    assert f"{latest}: not readable (" in said and "; the state before it is tried" in said
    assert "resuming after step 4" in said
    assert not latest.exists() and not (tmp_path / "broken" / PREVIOUS).exists()


def test_unharmed_the_latest_is_used(tmp_path, doomed, capsys):
    """The counterpart: without damage it goes on after step 8."""
    job, unbroken = doomed
    assert interrupted(tmp_path, job, at=9)["weights_sha256"] == unbroken
    assert "resuming after step 8" in capsys.readouterr().out


def test_two_damaged_checkpoints_start_anew(tmp_path, doomed, capsys):
    """Both are named, and the run begins at its beginning."""
    job, unbroken = doomed
    kill(tmp_path, job, at=9)
    for name in (RESUME, PREVIOUS):
        path = tmp_path / "broken" / name
        path.write_bytes(path.read_bytes()[:-100])
    assert fit(job, tmp_path / "broken")["weights_sha256"] == unbroken
    said = capsys.readouterr().out
    assert said.count("not readable") == 2 and "; training starts anew" in said and "resuming" not in said


def test_no_flipped_bit_is_taken_for_a_state(tmp_path):
    """Whichever bit changes, the state is refused or its contents are the ones saved; most flips are refused."""
    save_resume(tmp_path, state_of(7))
    path, draw = tmp_path / RESUME, random.Random(0)
    whole, refused = path.read_bytes(), 0
    everywhere = [draw.randrange(len(whole)) for _ in range(250)]
    for at in (*everywhere, *range(len(whole) - 60, len(whole))):
        path.write_bytes(flipped(whole, at, draw.randrange(8)))
        found = load_resume(tmp_path, FINGERPRINT, say=lambda _: None)
        refused += found is None
        assert found is None or equal(found, state_of(7)), f"byte {at}"
    assert refused > 200
    path.write_bytes(whole)
    assert equal(load_resume(tmp_path, FINGERPRINT, say=lambda _: None), state_of(7))


def test_no_bit_of_the_table_of_contents_is_taken_for_a_state(tmp_path):
    """There a bit can make a part a folder, whose checksum is right and for which torch loads whatever memory holds."""
    save_resume(tmp_path, state_of(7))
    path = tmp_path / RESUME
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as stored:
        entries = [whole.index(part.filename.encode(), stored.start_dir) - FIXED for part in stored.infolist()]
    assert len(entries) >= 2
    for at in entries:
        path.write_bytes(flipped(whole, at + ATTRIBUTES, 4))
        assert load_resume(tmp_path, FINGERPRINT, say=print) is None and not path.exists()


FAULTS = {
    "memory": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to"),
    "memory of Python": MemoryError(),
    "disk": OSError(errno.EIO, os.strerror(errno.EIO)),
    "stale handle": OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    "too many files": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_machine_that_fails_costs_no_state(tmp_path, monkeypatch, fault):
    """What could not be read is no damaged state: both stay, the command ends with exit code 1, and the next reads."""

    def failing(*_, **__):
        raise fault

    for done in (4, 8):
        save_resume(tmp_path, state_of(done))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", failing)
        with pytest.raises((TrainingFailed, type(fault))) as error:
            load_resume(tmp_path, FINGERPRINT, say=print)
    assert isinstance(error.value, TrainingFailed) or machine_fault(error.value), "a line, and exit code 1"
    assert equal(load_resume(tmp_path, FINGERPRINT, say=print), state_of(8)) and (tmp_path / PREVIOUS).exists()


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch):
    """Which file, and what the system said."""
    save_resume(tmp_path, state_of(4))
    monkeypatch.setattr("zipfile.ZipFile.testzip", lambda _: (_ for _ in ()).throw(FAULTS["disk"]))
    with pytest.raises(TrainingFailed, match=r"resume\.pt: Input/output error; it is kept, run it again"):
        load_resume(tmp_path, FINGERPRINT, say=print)


def test_one_process_alone_removes_what_is_damaged(tmp_path):
    """Others pass it over, and do not mind that it has gone meanwhile."""
    for done in (4, 8):
        save_resume(tmp_path, state_of(done))
    (tmp_path / RESUME).write_bytes(b"")
    assert (
        equal(load_resume(tmp_path, FINGERPRINT, say=print, tidy=False), state_of(4)) and (tmp_path / RESUME).exists()
    )

    def removed_meanwhile(path):
        path.unlink()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    with pytest.MonkeyPatch.context() as patch:
        real = checkpoint._read_state
        patch.setattr(checkpoint, "_read_state", lambda p: removed_meanwhile(p) if p.name == RESUME else real(p))
        assert equal(load_resume(tmp_path, FINGERPRINT, say=print, tidy=False), state_of(4))


@pytest.mark.parametrize("at", [1, 2])
def test_killed_between_the_renames(tmp_path, monkeypatch, at):
    """At either of the two renames by which a state is put in place, a whole one is left: the one before."""
    save_resume(tmp_path, state_of(4))
    calls, real = [], Path.replace

    def killed(self, target):
        calls.append(target)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_resume(tmp_path, state_of(8))
    monkeypatch.undo()
    assert equal(load_resume(tmp_path, FINGERPRINT, say=lambda _: None), state_of(4))


def test_two_states_are_kept(tmp_path):
    """Of three, the last two."""
    for done in (4, 8, 12):
        save_resume(tmp_path, state_of(done))
    kept = {name: torch.load(tmp_path / name, weights_only=True)["done"] for name in (RESUME, PREVIOUS)}
    assert kept == {RESUME: 12, PREVIOUS: 8}
    assert {path.name for path in tmp_path.iterdir()} == {RESUME, PREVIOUS}
