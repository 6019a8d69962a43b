"""What a test server's module declares: which images it scores, and how it wants predictions named and coded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xdseg.datasets.listing import found

INVALID = 255  # in predictions for an uncertainty-aware score: a pixel whose content cannot be told


@dataclass(frozen=True)
class Folder:
    """One folder of the zip; each holds a file per image."""

    name: str  # empty: the files lie at the top
    holds: Literal["classes", "invalid", "confidence"] = "classes"  # invalid: classes, and 255 where nothing is told


@dataclass(frozen=True)
class Server:
    """A test server.

    `images(root)` yields the test images of an extracted data set, each with the name that its prediction bears. It
    raises BadInput where a folder is missing.
    """

    name: str  # as `xdseg export` calls it
    title: str
    where: str  # site, in words
    count: int  # images of its test split
    shape: tuple[int, int]  # (height, width) of every image
    ids: tuple[int, ...]  # what is written, by class of the suite
    pattern: str  # names of predictions, whole
    example: str  # such a name
    ending: str  # of a file, after the prediction's name
    images: Callable[[Path], Iterable[str]]
    folders: tuple[Folder, ...] = (Folder(""),)
    remarks: tuple[str, ...] = ()  # what to know before uploading
    unconfirmed: tuple[str, ...] = ()  # what was not read at the server itself


def named(images: Path, pattern: str, *, ending: str) -> Iterable[str]:
    """Names of the images below a folder: file names without their ending."""
    return [path.name.removesuffix(ending) for path in found(images, pattern)]
