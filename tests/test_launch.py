"""Copies of a command that train one run: exit codes, signals, who is ended when, and what a log says of it.

The copies are small programs, which need no torch. `test_distributed_command.py` starts the true ones.
"""

import os
import signal
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from xdseg.errors import TrainingFailed
from xdseg.inspection.traces import last_error
from xdseg.process import run_lock
from xdseg.settings.runtime import Runtime
from xdseg.training import launch as launching
from xdseg.training.launch import launch
from xdseg.training.processes import first_holds, joined

HEAD = (
    "import os, signal, sys, time\n"
    "rank, out = int(os.environ['RANK']), sys.argv[1]\n"
    "def told(*_):\n    time.sleep(0.5); open(f'{out}/saved.{rank}', 'w').close(); os._exit(143)\n"
    "def others(pattern):\n    while not os.path.exists(f'{out}/{pattern}'): time.sleep(0.01)\n"
    "def note(name):\n    open(f'{out}/{name}', 'w').close()\n"
)
SAVES = "signal.signal(signal.SIGTERM, told); note(f'ready.{rank}')\n"  # a step and a state take half a second
LONG = 600  # seconds that nothing here comes near
DISTRIBUTED = "torch.distributed.elastic.multiprocessing"
TRACE = "Traceback (most recent call last):\n  File\n"
GLOO = f"{TRACE}RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer\n"


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Launch copies of a program, which finds `rank`, `out` and the functions above."""

    def start(program: str, count: int = 2, **options) -> int:
        monkeypatch.setattr(launching, "COMMAND", (sys.executable, "-c", HEAD + program))
        return launch(count, [str(tmp_path)], **options)

    return start


def test_each_copy_has_its_place(tmp_path, copies, monkeypatch):
    """Rank, number and a common meeting point in a folder of the user's own, which is gone afterwards; then 0."""
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "XDSEG_DIE_WITH_PARENT", "GLOO_SOCKET_IFNAME", "XDSEG_MEETING")
    look = "oct(os.stat(os.path.dirname(os.environ['XDSEG_MEETING'])).st_mode)"
    said = f"' '.join([*(os.environ[n] for n in {names}), {look}])"
    assert copies(f"open(f'{{out}}/{{rank}}', 'w').write({said})", count=3) == 0
    seen = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [one[:5] for one in seen] == [[str(rank), str(rank), "3", "1", "lo"] for rank in range(3)]
    meeting, mode = seen[0][5:]
    assert all(one[5:] == [meeting, mode] for one in seen) and not Path(meeting).parent.exists()
    assert stat.S_IMODE(int(mode, 8)) == 0o700


@pytest.mark.parametrize("code", [1, 2])
def test_the_first_failure_is_the_outcome(tmp_path, copies, code):
    """The other, which computes on, is asked and may save; it is not the one whose code counts."""
    program = f"{SAVES}if rank: others('ready.0'); sys.exit({code})\ntime.sleep({LONG})"
    assert copies(program) == code
    assert (tmp_path / "saved.0").exists()


def test_who_hears_nothing_is_killed(tmp_path, copies):
    """As one that waits for the failed one within a GPU's library; `launch` returns, and the copy is gone."""
    program = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); open(f'{out}/pid.{rank}', 'w').write(str(os.getpid()))\n"
        f"if rank: others('pid.0'); sys.exit(1)\ntime.sleep({LONG})"
    )
    assert copies(program, grace=0.3) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid.0").read_text()), 0)


def test_a_killed_copy_is_told_of(copies):
    """It cannot say so itself, and what the others fail of is its end, even where both are seen at once."""
    with pytest.raises(TrainingFailed, match=r"one of 2 processes was killed \(SIGKILL\), as happens when memory"):
        copies(f"if rank: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep({LONG})")
    both = [SimpleNamespace(poll=lambda code=code: code) for code in (1, -signal.SIGKILL, None)]
    assert launching._outcome(both, lambda: False) == -signal.SIGKILL


def test_sigterm_is_passed_on_and_waited_for(tmp_path, copies):
    """However long saving takes; the exit code is that of one process, and the signal does what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    program = f"{SAVES}if not rank: others('ready.1'); os.kill(os.getppid(), signal.SIGTERM)\ntime.sleep({LONG})"
    assert copies(program, grace=0) == 143
    assert {path.name for path in tmp_path.glob("saved.*")} == {"saved.0", "saved.1"}
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_to_one_copy_lets_the_others_save(tmp_path, copies):
    """They stop after the same step, as they agree on it: the first takes the longest, and nobody ends it."""
    program = "if rank: sys.exit(143)\ntime.sleep(1); note('saved.0'); sys.exit(143)"
    assert copies(program, grace=0) == 143 and (tmp_path / "saved.0").exists()


def test_sigterm_before_the_first_step(tmp_path, copies):
    """While copies are starting it ends them at once; that is no kill."""
    program = f"note(f'ready.{{rank}}')\nif not rank: others('ready.1'); os.kill(os.getppid(), 15)\ntime.sleep({LONG})"
    began = time.monotonic()
    assert copies(program) == 143
    assert time.monotonic() - began < LONG / 10


def test_sigterm_in_the_last_step_is_no_failure(copies):
    """All is done and written: 0, as of one process."""
    program = "signal.signal(signal.SIGTERM, lambda *_: note('x'))\nif not rank: os.kill(os.getppid(), 15)\n"
    assert copies(f"{program}time.sleep(0.5)") == 0


def test_an_interrupt_leaves_no_copy(tmp_path, copies, monkeypatch):
    """Ctrl-C on the launcher alone."""
    program = "open(f'{out}/pid.{rank}', 'w').write(str(os.getpid()))\nif rank: others('pid.0'); note('go')\n"

    def interrupted(_):
        if (tmp_path / "go").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(launching.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copies(f"{program}time.sleep({LONG})")
    for rank in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid.{rank}").read_text()), 0)


def test_copies_do_not_wait_for_the_lock_of_who_started_them(tmp_path, monkeypatch):
    """The run is held for them; torchrun's first process holds it itself."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with first_holds(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith("process ")
    monkeypatch.setenv("XDSEG_MEETING", "x")
    with run_lock(tmp_path), first_holds(tmp_path):
        pass


def test_after_an_error_nobody_waits_for_the_others(monkeypatch):
    """To end the group is to wait for them with NCCL, while they may wait for this process: only a clean end does."""
    calls = []
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "XDSEG_MEETING": "/x/meeting"}.items():
        monkeypatch.setenv(name, value)
    dist = pytest.importorskip("torch.distributed")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **given: calls.append((backend, given)))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("destroyed"))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="x"), joined(Runtime(device="cpu")):
        raise ValueError("x")
    (backend, given), *others = calls
    assert others == [] and backend == "gloo"
    assert (given["init_method"], given["rank"], given["world_size"]) == ("file:///x/meeting", 1, 2)
    with joined(Runtime(device="cpu")):
        pass
    assert calls[-1] == "destroyed"


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (f"xdseg: out of memory\n{GLOO}", "xdseg: out of memory"),
        (f"{TRACE}ValueError: x\n{GLOO}", "ValueError: x"),
        (GLOO, GLOO.splitlines()[-1]),
        (f"{TRACE}RuntimeError: x\n", "RuntimeError: x"),
        (f"{TRACE}torch.distributed.DistBackendError: NCCL error in x\n{GLOO}", GLOO.splitlines()[-1]),
        (f"xdseg: a\n{TRACE}{DISTRIBUTED}.errors.ChildFailedError: \n====\nxdseg.cli FAILED\n", "xdseg: a"),
        (f"{TRACE}{DISTRIBUTED}.errors.ChildFailedError: \n", f"{DISTRIBUTED}.errors.ChildFailedError: "),
        (f"stopped by SIGTERM\n{TRACE}{DISTRIBUTED}.api.SignalException: Process 7 got signal: 15\n", None),
    ],
)
def test_of_several_failures_the_cause_is_shown(tmp_path, log, error):
    """The others lose their connection, and torchrun says that one has failed: neither says why."""
    path = tmp_path / "train.log"
    path.write_text(log)
    assert last_error(path) == error
