"""Writing files so that a kill or a loss of power at any moment leaves the old file or the new one, never a part."""

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time when hashing
_UNFINISHED = re.compile(r"\..+\.\d+")  # what `temporary` names: .NAME.MACHINE.PROCESS


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A hidden name in the same folder, renamed to `path` when the block ends without an exception.

    Its bytes are on the disk before it has its name: a disk may keep a renaming and lose what was written before it,
    and by then the file may have been reason enough to delete others. That costs some milliseconds a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A hidden new folder beside `path`, renamed to it when the block ends without an exception, else removed.

    `path` must not exist, or be an empty folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        unfinished.mkdir()
        yield unfinished
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def leftovers(folder: Path) -> Iterator[Path]:
    """Files directly in a folder that `temporary` began for one of another name and a kill left there.

    Whoever removes them must know that no process is writing in the folder.
    """
    for path in folder.glob(".*"):
        if _UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            yield path


def sync(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that not even a loss of power can leave its name without them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    with temporary(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, contents: Any) -> None:
    """Write JSON atomically: sorted keys, indented, no NaN, a final newline."""
    write_text(path, json.dumps(contents, indent=1, sort_keys=True, allow_nan=False) + "\n")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal characters."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
