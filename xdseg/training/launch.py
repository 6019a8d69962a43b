"""`runtime.processes: N`: as many copies of `xdseg train` on this machine, watched until all have ended.

torchrun does as much, also for several machines. This differs where one machine lets it: whoever is told to stop gets
the time that a step and a state take, exit codes are the copies' own, and copies meet in a file that is this user's
alone instead of at a port of all interfaces, behind which torchrun unpickles what it is sent.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from xdseg.errors import TrainingFailed
from xdseg.process import heed_sigterm
from xdseg.training.processes import LOCAL, MEETING, RANK, WORLD

COMMAND = (sys.executable, "-m", "xdseg.cli")
POLL = 0.1  # seconds between two looks
LAST_WORDS, GRACE = 2.0, 60.0  # seconds to tell one's own failure after another's, and to end a save when asked
STOPPED = 128 + signal.SIGTERM  # exit code of a copy that was asked to stop, and has saved


def launch(processes: int, arguments: Sequence[str], *, grace: float = GRACE) -> int:
    """Run so many of `xdseg arguments`; returns 0, or the exit code of the first that failed. Must hold the run's lock.

    SIGTERM is passed on; then 143 is returned, or 0 where the last step was done already. However this ends, no copy is
    left. Raises TrainingFailed for one that was killed: it could not tell of it.
    """
    copies: list[subprocess.Popen] = []
    with heed_sigterm() as asked, TemporaryDirectory(prefix="xdseg-") as folder:
        try:
            for rank in range(processes):
                environment = _environment(rank, processes, Path(folder, "meeting"))
                copies.append(subprocess.Popen([*COMMAND, *arguments], env=environment))
            code = _outcome(copies, asked)
            _end(copies, grace)
        finally:
            for copy in copies:
                copy.kill()
                copy.wait()
        if asked() and code == -signal.SIGTERM:  # it came before there was a step to finish
            return STOPPED
    if code < 0:
        raise TrainingFailed(
            f"one of {processes} processes was killed ({signal.Signals(-code).name}), as happens when memory is short"
            " (`dmesg` or the scheduler tells); run it again to go on from what is saved"
        )
    return code


def _environment(rank: int, processes: int, meeting: Path) -> dict[str, str]:
    """A copy's variables: torchrun's names for its place, and where the copies meet."""
    usual = {"OMP_NUM_THREADS": "1"}  # as torchrun sets it
    if sys.platform.startswith("linux"):
        usual["GLOO_SOCKET_IFNAME"] = "lo"  # what gloo says carries no password
    place = {RANK: str(rank), LOCAL: str(rank), WORLD: str(processes), MEETING: str(meeting)}
    return usual | os.environ | place | {"XDSEG_DIE_WITH_PARENT": "1"}


def _outcome(copies: Sequence[subprocess.Popen], asked: Callable[[], bool]) -> int:
    """Wait until all have ended well, or stopped as they were asked to, or one has failed; gives that one's code."""
    told = False
    while True:
        codes = [copy.poll() for copy in copies]
        if failed := [code for code in codes if code not in (None, 0, STOPPED)]:
            return min(failed)  # of several at once a killed one, whose end is why others fail
        if None not in codes:
            return max(codes)
        if asked() and not told:
            told = True
            _ask(copies)
        time.sleep(POLL)


def _end(copies: Sequence[subprocess.Popen], grace: float) -> None:
    """Let those that go on after one has failed say why, and save what they are saving; the caller kills the rest."""
    _wait(copies, LAST_WORDS)
    _ask(copies)
    _wait(copies, grace)


def _ask(copies: Sequence[subprocess.Popen]) -> None:
    for copy in copies:
        copy.terminate()  # nothing is sent to one that has ended


def _wait(copies: Sequence[subprocess.Popen], seconds: float) -> None:
    """Until all have ended, but no longer."""
    end = time.monotonic() + seconds
    while any(copy.poll() is None for copy in copies) and time.monotonic() < end:
        time.sleep(POLL)
