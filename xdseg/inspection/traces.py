"""What a run has left so far: last points of its curve, the step of its saved state, the last error of a log."""

import json
import os
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

STATES = ("resume.pt", "resume.previous.pt")  # as xdseg.training.checkpoint, which imports torch, calls them
DONE = "done"  # its entry that counts steps
INTEGERS = ("BININT", "BININT1", "BININT2", "LONG1")  # how pickle writes them
MEMO = ("BINPUT", "LONG_BINPUT", "MEMOIZE")  # what may stand between a key and its value
TAIL = 1 << 16  # bytes at the end of a file that are read
REPORTED, SETTINGS = "xdseg: ", "xdseg: settings in force: "
TRACEBACK, FATAL = "Traceback (most recent call last):", "Fatal Python error: "
INTERRUPTS = ("KeyboardInterrupt", "torch.distributed.elastic.multiprocessing.api.SignalException")
AFTER_ANOTHER = re.compile(r"torch\.distributed\.|RuntimeError: .*(gloo|NCCL)")  # others fail of one's failure


def _tail(path: Path) -> list[str]:
    """The last lines of a text file, none where no file is; the first of a long one may be cut."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def last_points(curve: Path, count: int = 2) -> list[dict[str, Any]]:
    """The last points of a learning curve, in order; a line that is being written, or was torn, is passed over."""
    points: list[dict[str, Any]] = []
    for line in reversed(_tail(curve)):
        try:
            point = json.loads(line)
            point["step"] = int(point["step"])
        except (ValueError, KeyError, TypeError):
            continue
        points.append(point)
        if len(points) == count:
            break
    return points[::-1]


def saved_step(path: Path) -> int | None:
    """Steps done in a resume state, or None if it cannot be read.

    torch's file is a zip with a pickle in it. Its opcodes are read and nothing of it is executed or built. Whatever is
    wrong with the file, this is no reason not to look at the other runs: training says what it is.
    """
    try:
        with zipfile.ZipFile(path) as stored:
            name = next(name for name in stored.namelist() if name.endswith("/data.pkl"))
            found = False
            for opcode, value, _ in pickletools.genops(stored.read(name)):
                if found and opcode.name in INTEGERS:
                    return value
                if opcode.name not in MEMO:
                    found = value == DONE
    except Exception:  # zipfile and what it unpacks with raise types of their own for damaged files
        return None
    return None


def last_error(log: Path, *, since: float = 0.0) -> str | None:
    """The line with which the last failure in a log ends, or None: no failure, or a log older than `since`.

    `since`, in seconds since 1970, is when a process last began: what an earlier one said has been outlived. An
    interrupt is no failure. Of several processes that share a run the one counts whose failure the others fail of.
    """
    try:
        if log.stat().st_mtime < since:
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    lines, after_another = _tail(log), None
    for position in reversed(range(len(lines))):
        line = lines[position]
        if line.startswith((REPORTED, FATAL)) and not line.startswith(SETTINGS):
            return line
        if line.startswith(TRACEBACK):
            said = next((text for text in lines[position + 1 :] if text and not text[0].isspace()), "")
            if said.startswith(INTERRUPTS):
                return None
            if not AFTER_ANOTHER.match(said):
                return said or None
            after_another = after_another or said
    return after_another
