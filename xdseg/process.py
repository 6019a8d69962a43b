"""A stage as a process: it dies with its parent, holds its run's lock, and knows where it ran."""

import ctypes
import fcntl
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xdseg import __version__

PR_SET_PDEATHSIG = 1  # prctl(2)
LOCK = ".lock"
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
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            print(f"{folder}: waiting for {file.read().strip() or 'another process'}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance() -> dict[str, Any]:
    """Version, commit and platform; None for what is unknown, as outside a checkout."""
    dirty = _git("status", "--porcelain", "--", *SOURCES)
    return {
        "xdseg": __version__,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if dirty is None else bool(dirty),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
