"""A stage as a process: it dies with its parent, holds its run's lock, and knows where it ran."""

import ctypes
import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

from xdseg import __version__
from xdseg.files import leftovers

PR_SET_PDEATHSIG = 1  # prctl(2)
LOCK, HOLDER = ".lock", "process"  # a run's, and the word that it begins with while it is held
LIBRARIES = (  # beside torch, whose version is asked of torch itself: those whose code can change a number
    *("mamba-ssm", "numpy", "open_clip_torch", "pillow", "safetensors", "scipy", "segmentation-models-pytorch"),
    *("timm", "torchvision", "transformers"),
)
SOURCES = ("Snakefile", "params.yaml", "pipeline", "xdseg")  # what a dirty tree is asked about


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends: no trainer outlives a killed scheduler."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call took effect
        sys.exit(1)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder; a second process waits, saying for whom, and then finds the work done."""
    with _locked(folder) as file:
        _take_over(folder, file)
        file.truncate(0)
        file.write(f"{HOLDER} {os.getpid()} on {platform.node()}\n")
        file.flush()
        try:
            yield
        finally:
            _let_go(file)


def _locked(folder: Path) -> TextIO:
    """The lock's file, locked, in a folder that is made if it is missing: also if it was removed during the wait."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as unless_kept, suppress(FileNotFoundError):  # of a folder that is removed at this moment
            file = unless_kept.enter_context((folder / LOCK).open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                print(f"{folder}: waiting for {file.read().strip() or 'another process'}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):  # else others lock another file
                unless_kept.pop_all()
                return file


def _take_over(folder: Path, file: TextIO) -> None:
    """Say it if the holder before was killed, since it could not, and remove what it was writing."""
    file.seek(0)
    if (holder := file.read().strip()).startswith(HOLDER):
        print(
            f"{folder}: {holder} was killed here: out of memory (`dmesg` or the scheduler tells), a kill, or the"
            " machine; what it saved is taken up",
            flush=True,
        )
    for path in leftovers(folder):
        path.unlink(missing_ok=True)


def _let_go(file: TextIO) -> None:
    """An empty lock says that its holder came to an end of its own, good or bad. When it was taken stays told."""
    taken = os.fstat(file.fileno())
    file.truncate(0)
    with suppress(PermissionError):  # a shared lock that another account made
        os.utime(file.fileno(), ns=(taken.st_atime_ns, taken.st_mtime_ns))


@contextmanager
def heed_sigterm() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM ends nothing: yields a question that is answered True once the signal has come.

    Schedulers send it more than once before SIGKILL; the second says no more than the first. Outside the main thread,
    where Python lets nobody set signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance() -> dict[str, Any]:
    """Version, commit, platform and libraries; None for what is unknown, as outside a checkout."""
    dirty = _git("status", "--porcelain", "--", *SOURCES)
    return {
        "xdseg": __version__,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if dirty is None else bool(dirty),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": libraries(),
    }


def libraries() -> dict[str, str]:
    """Versions of the installed libraries that can change a number, by name, without importing them."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
