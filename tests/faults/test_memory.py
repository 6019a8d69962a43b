"""Memory that runs out: a refusal the process sees, a loading process that is killed, and a kill of the whole run."""

import os
import resource
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import tiny_jobs
import torch
from tiny_runs import fit
from torch.utils.data import get_worker_info

from xdseg.cli import main
from xdseg.data.loading import StepBatches
from xdseg.faults import hear_no_more_of_children, machine_fault
from xdseg.process import run_lock
from xdseg.training.checkpoint import PREVIOUS, RESUME
from xdseg.training.loop import Run

HOLD = (
    "import sys, time; from pathlib import Path; from xdseg.process import run_lock\n"
    "with run_lock(Path(sys.argv[1])):\n"
    "    (Path(sys.argv[1]) / '.resume.pt.here.123').write_text('half')\n"
    "    print('held', flush=True); time.sleep(600)"
)
TIMEOUT = 300  # seconds that nothing here comes near
GIGABYTE, MARGIN = 1 << 30, 1 << 26
LARGE = {
    "torch": lambda: torch.empty(GIGABYTE, dtype=torch.uint8),
    "numpy": lambda: np.ones(GIGABYTE, np.uint8),
    "Python": lambda: bytes(GIGABYTE),
}


@pytest.fixture
def short_of_memory():
    """This process may have 64 MB more than it has, for the length of a test."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MARGIN, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("allocate", LARGE.values(), ids=LARGE.keys())
def test_out_of_memory(short_of_memory, monkeypatch, capsys, allocate):
    """Whoever refuses a gigabyte, the command ends with exit code 1 and one line that names memory and the ways out."""
    monkeypatch.setattr("xdseg.cli_status.params_of", lambda _: allocate())
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("xdseg: out of memory (") and said.count("\n") == 1
    assert "give it more memory, or a smaller batch or size, then run it again" in said


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory")], ids=repr)
def test_refused_memory_keeps_both_states(tmp_path, monkeypatch, error):
    """In step 9 of 10 memory is refused: the states of 8 and 4 stay, and the next start ends with the same bytes."""
    job = tiny_jobs.make_job(tmp_path)
    unbroken, real = fit(job, tmp_path / "unbroken"), Run.update

    def refused(self, batch):
        if batch.index + 1 == 9:
            raise error
        return real(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "update", refused)
        with pytest.raises(type(error)) as failed:
            fit(job, tmp_path / "run")
    assert machine_fault(failed.value).startswith("out of memory (")
    kept = [torch.load(tmp_path / "run" / name, weights_only=True)["done"] for name in (RESUME, PREVIOUS)]
    assert kept == [8, 4]
    assert fit(job, tmp_path / "run")["weights_sha256"] == unbroken["weights_sha256"]


def fit_with_a_doomed_loader(job, folder: Path, said: Path) -> None:
    """Train in a process of its own, since torch tells of a dead loader wherever the trainer then is."""
    real = StepBatches.__getitem__

    def killed(self, step):
        if step == 6 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, step)

    StepBatches.__getitem__ = killed
    try:
        fit(job, folder, workers=1)
    except Exception as error:
        hear_no_more_of_children()
        said.write_text(machine_fault(error))


def test_killed_child_names_memory(tmp_path):
    """A loading process is killed, as where memory is short; the next start ends with the unbroken run's bytes."""
    job, said = tiny_jobs.make_job(tmp_path), tmp_path / "said"
    trainer = get_context("fork").Process(target=fit_with_a_doomed_loader, args=(job, tmp_path / "run", said))
    trainer.start()
    trainer.join(TIMEOUT)
    line = said.read_text()
    assert line.startswith("a loading process was killed, as happens when memory is short (")
    assert "give the job more memory or set runtime.workers lower" in line
    unbroken = fit(job, tmp_path / "unbroken")
    assert fit(job, tmp_path / "run", workers=1)["weights_sha256"] == unbroken["weights_sha256"]


def test_killed_run_is_told_by_the_next(tmp_path, capsys):
    """Who is killed says nothing: the next on the folder names it and memory, and removes what it half wrote."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    child.kill()
    assert child.wait() == -signal.SIGKILL, "137 to a shell"
    for name in (".resume.pt.here.notes", "resume.pt", ".gitignore"):
        (tmp_path / name).write_text("kept")
    with run_lock(tmp_path):
        said = capsys.readouterr().out
        assert f"{tmp_path}: process {child.pid} on {os.uname().nodename} was killed here: out of memory" in said
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".lock", ".resume.pt.here.notes", "resume.pt", ".gitignore"}
    with run_lock(tmp_path):
        assert capsys.readouterr().out == "", "this one came to an end of its own"


def test_a_failure_is_no_kill(tmp_path, capsys):
    """An exception has had its say; and when the folder was taken stays told by the lock."""
    with pytest.raises(ValueError, match="x"), run_lock(tmp_path):
        os.utime(tmp_path / ".lock", (1e9, 1e9))
        raise ValueError("x")
    assert (tmp_path / ".lock").stat().st_mtime == 1e9
    with run_lock(tmp_path):
        assert capsys.readouterr().out == ""
