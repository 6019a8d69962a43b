"""What a failing machine raises, as one line that says what to do: a full or read-only disk, memory that is short.

Neither is bad input, and nothing finished is lost by it: the command ends with exit code 1 and can be given again.
"""

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from traceback import walk_tb

FULL, CLOSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}, {errno.EROFS, errno.EACCES, errno.EPERM}
_NUMBERED = re.compile(r"\(os error (\d+)\)")  # how safetensors tells of one
_SHORT = re.compile(r"out of memory|can't allocate memory|not enough memory|cannot allocate memory", re.IGNORECASE)
_LOADER = re.compile(r"DataLoader worker .*(killed by signal|exited unexpectedly)")
LOADING = "torch/utils/data/dataloader"  # in the path of the code that fetches batches
AGAIN = "then run it again: what is finished is kept"
LONGEST = 160  # characters of an error's own text in the line


def machine_fault(error: BaseException) -> str | None:
    """The line for an error that is the machine's, found in it or in what it was raised from; None for any other."""
    for one in _chain(error):
        if (number := _number(one)) in FULL | CLOSED:
            return _storage(one, number)
        if isinstance(one, MemoryError) or (isinstance(one, RuntimeError) and _SHORT.search(str(one))):
            return f"out of memory ({_text(one)}); give it more memory, or a smaller batch or size, {AGAIN}"
        if (isinstance(one, RuntimeError) and _LOADER.search(str(one))) or _is_cut_off(one):
            return (
                f"a loading process was killed, as happens when memory is short ({_text(one)}); give the job more"
                f" memory or set runtime.workers lower, {AGAIN}"
            )
    return None


def hear_no_more_of_children() -> None:
    """torch raises wherever the process then is when a loading process has died, also while that is being told."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _is_cut_off(error: BaseException) -> bool:
    """Did a loading process end while a batch of its was fetched?"""
    fetching = any(LOADING in frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__))
    return isinstance(error, (ConnectionError, EOFError)) and fetching


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from or while, each once."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _number(error: BaseException) -> int | None:
    """The operating system's number of an error."""
    if isinstance(error, OSError):
        return error.errno
    found = _NUMBERED.search(str(error))
    return int(found[1]) if found else None


def _storage(error: BaseException, number: int) -> str:
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    mend = "free some space" if number in FULL else "make it writable, or work in a folder that is"
    return f"{where}{os.strerror(number).lower()}; {mend}, {AGAIN}"


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:LONGEST] or type(error).__name__
