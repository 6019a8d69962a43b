"""Who holds a folder: the lock that a stage takes on it, looked at without waiting."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdseg.process import LOCK
from xdseg.text import harmless


def holder(folder: Path) -> str | None:
    """The living process that holds a folder, as its lock names it; None where none does.

    The lock is asked for as a reader and let go at once. A stage that begins in that moment waits for it and goes on.
    """
    try:
        with (folder / LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return harmless(file.read().strip()) or "another process"
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None


@contextmanager
def held_against_others(folder: Path) -> Iterator[bool]:
    """Hold a folder so that no stage begins in it; yields False if a process already does. No lock file is made."""
    try:
        file = (folder / LOCK).open()
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def held_since(folder: Path) -> float:
    """When a process last took the folder, in seconds since 1970; 0 where none ever did."""
    try:
        return (folder / LOCK).stat().st_mtime
    except FileNotFoundError:
        return 0.0
