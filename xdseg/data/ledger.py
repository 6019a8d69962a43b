"""Looks at files, remembered: a file whose size and times are those of the last look is not opened again.

The ledger lies in `results/.checked/` and holds nothing that cannot be found out anew; delete it to look at everything.
It has one flat row per reader and path, [size, mtime, ctime, sha256, height, width, [id, pixels, id, pixels, …]], and a
row is taken apart when it is asked for.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from xdseg.data.inspection import Errand, Look, look
from xdseg.files import write_text
from xdseg.process import die_with_parent

FOLDER = Path("results/.checked")
SCHEMA = 3  # raised when a look finds more, so that what was passed before is looked at again
ALONE = 32  # files that one process looks at sooner than others are started
TASKS_PER_WORKER = 8  # at least, so that none waits long for another
FILES_PER_TASK = 256  # at most; enough that handing out work costs nothing beside decoding
Stamp = list[int]  # size and times of modification and change, in ns


class Ledger:
    """What is known of a suite's files."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.json"
        self._seen: dict[str, list[Any]] = _read(self.path)

    def looks(self, errands: Sequence[Errand], *, workers: int | None = None) -> dict[Errand, Look]:
        """A look at each file, taken now by all cores where none is known; what is found is written down."""
        known, stamps = {}, {}
        for errand in dict.fromkeys(errands):
            stamp = _stamp(errand)
            known[errand] = self._known(errand, stamp)
            if known[errand] is None:
                stamps[errand] = stamp  # from before the look: a file that changes meanwhile is new
        for errand, found in zip(stamps, _all(list(stamps), workers or os.cpu_count() or 1), strict=True):
            known[errand] = found
            if not found.fault and stamps[errand]:
                self._seen[_key(errand)] = _row(stamps[errand], found)
        if stamps:
            write_text(self.path, json.dumps({"schema": SCHEMA, "files": self._seen}, separators=(",", ":")))
        return known

    def _known(self, errand: Errand, stamp: Stamp | None) -> Look | None:
        """The look at a file that has not changed since; None where there is none, or no sense in it."""
        row = self._seen.get(_key(errand))
        try:
            return _look(row) if row and row[:3] == stamp else None
        except (TypeError, ValueError):
            return None


def _key(errand: Errand) -> str:
    return f"{errand.reader} {errand.path}"


def _stamp(errand: Errand) -> Stamp | None:
    """Size and times of all files behind an errand; None where one is missing."""
    try:
        found = os.stat(errand.path)
        stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        for path in errand.beside:
            found = os.stat(path)
            stamp = [stamp[0] + found.st_size, max(stamp[1], found.st_mtime_ns), max(stamp[2], found.st_ctime_ns)]
    except OSError:
        return None
    return stamp


def _row(stamp: Stamp, found: Look) -> list[Any]:
    return [*stamp, found.sha256, *found.shape, [number for pair in found.ids for number in pair]]


def _look(row: list[Any]) -> Look:
    """What `_row` was made of. Raises TypeError or ValueError for another row."""
    _, _, _, sha256, height, width, flat = row
    numbers = iter(flat)
    return Look(sha256, (height, width), tuple(zip(numbers, numbers, strict=True)))


def _read(path: Path) -> dict[str, list[Any]]:
    """Rows by reader and path; an unreadable ledger is an empty one."""
    try:
        contents = json.loads(path.read_bytes())
        files = contents["files"] if contents["schema"] == SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _all(errands: Sequence[Errand], workers: int) -> list[Look]:
    if workers == 1 or len(errands) <= ALONE:
        return [look(errand) for errand in errands]
    size = min(FILES_PER_TASK, -(-len(errands) // (workers * TASKS_PER_WORKER)))
    with ProcessPoolExecutor(workers, initializer=die_with_parent) as pool:  # else they outlive a kill
        return list(pool.map(look, errands, chunksize=size))
