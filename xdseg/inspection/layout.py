"""Names that the workflow gives to what it makes in results/: whatever has another is somebody else's."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from xdseg.cells import RUN_FOLDER
from xdseg.params import NAME, SLUG
from xdseg.process import LOCK

HIDDEN = ".stale-"  # prefix of what is being deleted
_STALE = re.compile(re.escape(HIDDEN) + r".+\.\d+")
_TEMPORARY = re.compile(r"\..+\.\d+")  # of a process that was killed while it wrote
_RUN = re.compile(
    r"run\.json|train\.(log|time)|weights\.safetensors|training\.json|curve\.jsonl|resume(\.previous)?\.pt|"
    r"predictions-[0-9a-f]{8}\.(json|log|time)|" + re.escape(LOCK)
)
_PREDICTED = re.compile(
    r"predictions\.(zip|json)|score-[0-9a-f]{8}\.(json|log|time)|confusion-[0-9a-f]{8}\.(npz|replicates)"
)
_TARGET = re.compile(r"[A-Za-z0-9_.-]+-[0-9a-f]{8}")
CACHED = re.compile(r"(?P<stem>[^/]+?--[^/]+?--(images|labels)--[0-9a-f]{8})\.(json|bin|log|time)")
PAIR = re.compile(r"[A-Za-z0-9_.+-]+")
KEPT = {"records", ".settings", ".checked", ".track.lock", ".cache", "backbones", "publish.log"}  # of results/
BOARD = re.compile(r"board-(partial|[0-9a-f]{8})")


def is_folder(path: Path) -> bool:
    """A folder itself, no link to one."""
    return path.is_dir() and not path.is_symlink()


def is_file(path: Path) -> bool:
    """A plain file itself, no link to one."""
    return path.is_file() and not path.is_symlink()


def is_leftover(path: Path) -> bool:
    """What a deletion that was cut short has left; no link."""
    return bool(_STALE.fullmatch(path.name)) and not path.is_symlink()


def is_suite(path: Path) -> bool:
    """Could the folder be a suite's?"""
    return is_folder(path) and bool(NAME.fullmatch(path.name))


def is_method(path: Path) -> bool:
    """Could the folder be a method's?"""
    return is_folder(path) and bool(SLUG.fullmatch(path.name))


def is_pair(path: Path) -> bool:
    """Could the folder be a pair's?"""
    return is_folder(path) and bool(PAIR.fullmatch(path.name)) and not path.name.startswith(".")


def is_run(path: Path, results: Path) -> bool:
    """Is the folder named as a run's?"""
    return is_folder(path) and bool(RUN_FOLDER.fullmatch(path.relative_to(results).as_posix()))


def is_predicted(path: Path) -> bool:
    """Is a folder in a run's named as that of a target's predictions?"""
    return is_folder(path) and bool(_TARGET.fullmatch(path.name))


def strangers(run: Path) -> Iterator[Path]:
    """What in a run's folder the workflow has not made: other names, links, folders where files belong."""
    for path in sorted(run.iterdir()):
        if is_predicted(path):
            yield from strangers_in_predicted(path)
        elif not is_leftover(path) and not _is_named(path, _RUN) and os.path.lexists(path):
            yield path


def strangers_in_predicted(folder: Path) -> Iterator[Path]:
    """The same in a folder of a target's predictions."""
    return (path for path in sorted(folder.iterdir()) if not _is_named(path, _PREDICTED))


def cached_stem(path: Path) -> str | None:
    """The decoded split that a file of the cache belongs to, or None for what does not belong there."""
    found = CACHED.fullmatch(_plain(path.name))
    return found["stem"] if found and is_file(path) else None


def _is_named(path: Path, pattern: re.Pattern[str]) -> bool:
    return is_file(path) and any(pattern.fullmatch(name) for name in (path.name, _plain(path.name)))


def _plain(name: str) -> str:
    """The name that a temporary file would have got, else the name itself."""
    if not _TEMPORARY.fullmatch(name):
        return name
    parts = name[1:].split(".")
    candidates = (".".join(parts[:end]) for end in range(1, len(parts)))
    known = (c for c in candidates if any(p.fullmatch(c) for p in (_RUN, _PREDICTED, CACHED)))
    return next(known, name)
