"""Looks at files, remembered: a file whose size and times are those of the last look is not opened again.

The ledger lies in `results/.checked/` and holds nothing that cannot be found out anew; delete it to look at everything.
"""

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from xdseg.data.inspection import Errand, Look, look
from xdseg.files import write_text
from xdseg.process import die_with_parent

FOLDER = Path("results/.checked")
SCHEMA = 2  # raised when a look finds more, so that what was passed before is looked at again
FILES_PER_TASK = 32  # enough that handing out work costs nothing beside decoding
Key = tuple[str, str]  # path and reader


@dataclass(frozen=True)
class Seen:
    """A look, and size and times of the file when it was taken."""

    stamp: tuple[int, int, int]
    look: Look


class Ledger:
    """What is known of a suite's files."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.json"
        self._seen: dict[Key, Seen] = _read(self.path)

    def looks(self, errands: Sequence[Errand], *, workers: int | None = None) -> dict[Errand, Look]:
        """A look at each file, taken now by all cores where none is known; what is found is written down."""
        asked = list(dict.fromkeys(errands))
        stamps = {errand: _stamp(errand) for errand in asked}
        known = {errand: self._known(errand, stamps[errand]) for errand in asked}
        open_ones = [errand for errand, found in known.items() if found is None]
        for errand, found in zip(open_ones, _all(open_ones, workers or os.cpu_count() or 1), strict=True):
            known[errand] = found
            if not found.fault and stamps[errand]:  # stamped before the look: a file that changes meanwhile is new
                self._seen[_key(errand)] = Seen(stamps[errand], found)
        if open_ones:
            self._write()
        return known

    def _known(self, errand: Errand, stamp: tuple[int, int, int] | None) -> Look | None:
        seen = self._seen.get(_key(errand))
        return seen.look if seen and seen.stamp == stamp else None

    def _write(self) -> None:
        rows = [
            [*key, *seen.stamp, seen.look.sha256, *seen.look.shape, [*map(list, seen.look.ids)]]
            for key, seen in self._seen.items()
        ]
        write_text(self.path, json.dumps({"schema": SCHEMA, "files": rows}, separators=(",", ":")))


def _key(errand: Errand) -> Key:
    return (str(errand.path), errand.reader)


def _stamp(errand: Errand) -> tuple[int, int, int] | None:
    """Size and times of all files behind an errand; None where one is missing."""
    try:
        found = [os.stat(path) for path in (errand.path, *errand.beside)]
    except OSError:
        return None
    return (sum(s.st_size for s in found), max(s.st_mtime_ns for s in found), max(s.st_ctime_ns for s in found))


def _read(path: Path) -> dict[Key, Seen]:
    """An unreadable ledger is an empty one."""
    try:
        contents = json.loads(path.read_text())
        rows = contents["files"] if contents["schema"] == SCHEMA else []
        return {
            (row[0], row[1]): Seen(
                (row[2], row[3], row[4]), Look(row[5], (row[6], row[7]), tuple((i, n) for i, n in row[8]))
            )
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return {}


def _all(errands: Sequence[Errand], workers: int) -> Iterable[Look]:
    if workers > 1 and len(errands) > FILES_PER_TASK:
        with ProcessPoolExecutor(workers, initializer=die_with_parent) as pool:  # else they outlive a kill
            return list(pool.map(look, errands, chunksize=FILES_PER_TASK))
    return [look(errand) for errand in errands]
