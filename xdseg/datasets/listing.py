"""Finding files below a data set's root."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import translate
from pathlib import Path
from re import compile as compiled

from xdseg.datasets.contract import Item
from xdseg.errors import BadInput, NotThere

ANY_DEPTH = "**"


def there(folder: Path) -> Path:
    """The folder. Raises NotThere if it is missing."""
    if not folder.is_dir():
        raise NotThere(f"{folder}: no such folder; extract the data set there, or mend its root")
    return folder


def found(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that fit a glob pattern, sorted by path. Raises NotThere if the folder is missing."""
    return [folder / place for place in _places(there(folder), pattern)]


def _places(folder: Path, pattern: str) -> list[str]:
    """Paths relative to a folder of the files below it that fit a pattern and are not hidden, sorted part by part."""
    if ANY_DEPTH in pattern:
        paths = sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
        return [str(path.relative_to(folder)) for path in paths]
    return sorted(_matches(str(folder), "", pattern.split("/")), key=lambda place: place.split("/"))


def _matches(folder: str, before: str, patterns: list[str]) -> Iterator[str]:
    """As Path.glob, but for tens of thousands of files: what a folder says of its entries spares a look at each."""
    fits, deeper = compiled(translate(patterns[0])).match, patterns[1:]
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not fits(entry.name):
                continue
            known = Path(entry.path) if entry.is_symlink() else entry  # a link may lead nowhere, or in a circle
            if deeper and known.is_dir():
                yield from _matches(entry.path, f"{before}{entry.name}/", deeper)
            elif not deeper and not entry.name.startswith(".") and known.is_file():
                yield before + entry.name


def missing(paths: Iterable[Path]) -> Iterator[Path]:
    """Those of many paths that are no files, in their order; folders are listed, and only what is not seen is asked."""
    files: dict[str, set[str]] = {}
    for path in paths:
        before, slash, name = str(path).rpartition("/")
        folder = before + slash or "."
        if folder not in files:
            files[folder] = _files(folder)
        if name not in files[folder] and not path.is_file():
            yield path


def _files(folder: str) -> set[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    return set()


def paired(
    images: Path, pattern: str, *, image_ending: str, labels: Path | None, label_ending: str = ""
) -> Iterator[Item]:
    """Images below a folder, each with the label of the same relative path but for the ending.

    An ending is what follows the name, as in `_leftImg8bit.png` and `_gtFine_labelIds.png`.
    """
    places = _places(there(images), pattern)
    if labels is not None and not labels.is_dir():
        raise BadInput(f"{labels}: no such folder, though {images} is there; extract the labels' archive too")
    for place in places:
        folder, slash, file = place.rpartition("/")
        name = file.removesuffix(image_ending)
        yield Item(name, images / place, labels / f"{folder}{slash}{name}{label_ending}" if labels else None)
