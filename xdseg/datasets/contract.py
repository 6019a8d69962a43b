"""What the reader of a public data set declares: where its files lie, what it should hold, what its label ids mean.

Nothing is copied or converted: images are read where they were extracted, labels pass through a table from the
publisher's ids to a suite's classes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xdseg.data.pixels import IDS, read_image, read_label

IGNORE = 255


@dataclass(frozen=True)
class Item:
    """One image of a split, and its label where the split has any."""

    name: str  # unique within the data set; letters, digits, _ . -; predictions bear it
    image: Path
    label: Path | None = None
    window: tuple[int, int, int, int] | None = None  # (top, left, height, width) of the files' pixels; None: all


@dataclass(frozen=True)
class PublishedList:
    """A list of names that papers share; users point to their copy, which must be that one."""

    count: int
    sha256: str  # of the stripped lines that are not empty, joined by \n, with a \n at the end
    source: str  # whose list it is


@dataclass(frozen=True)
class Split:
    """One split as its publisher describes it."""

    count: int | Mapping[str, int] | None = None  # images, by part where it has parts; None: not stated
    labelled: bool = True
    listed: PublishedList | None = None  # this split is the images of `within` that a list names
    within: tuple[str, ...] = ()  # splits that the list selects from
    part_of: tuple[str, ...] = ()  # splits that hold its images too

    def shares_images(self, own: str, other: str, that: "Split") -> bool:
        """May the split called `own` and that called `other` have an image in common?

        Two lists are taken for disjoint, as the published ones are.
        """
        return own == other or other in (*self.within, *self.part_of) or own in (*that.within, *that.part_of)


@dataclass(frozen=True)
class Download:
    """What to fetch, for `xdseg datasets`."""

    what: str  # archives, by the names they are published under
    where: str  # site or portal, in words
    licence: str


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    `files(root, split, part)` lists the items of one split (of one part, where the data set has parts: weather,
    region) in the order of their names, without decoding any; a label that should be there but is not is listed
    all the same, and whoever checks the split reports it. It raises BadInput where a folder is missing. An item
    with a window is that part of the decoded image and label (`xdseg.datasets.windows.cut`).
    """

    name: str  # as params.yaml calls it, [a-z0-9_]+
    title: str
    space: str  # name in xdseg.datasets.spaces of the classes that the maps lead to
    splits: Mapping[str, Split]
    files: Callable[[Path, str, str | None], Iterable[Item]]
    ids: Mapping[int, str]  # every raw id that a label file may hold, and the publisher's name for it
    maps: Mapping[str, Mapping[int, str]]  # by name: raw id to class of the space; raw ids left out are ignored
    download: Download
    layout: str  # what lies below the root, one line per kind of file, for `xdseg datasets`
    shapes: frozenset[tuple[int, int]] = frozenset()  # (height, width) that images have; empty: they vary
    parts: tuple[str, ...] = ()
    groups: str | None = None  # pattern whose first group names the recording that an image belongs to
    read_image: Callable[[Path], np.ndarray] = read_image  # (H, W, 3) uint8
    read_label: Callable[[Path], np.ndarray] = read_label  # raw ids (H, W) uint8
    beside: Callable[[Path], tuple[Path, ...]] | None = None  # further files that a label is read from
    slow_labels: bool = False  # labels are drawn from polygons; they are drawn once, into the cache
    version: int = 1  # raise when the same files are read as other pixels
    confirmed: Mapping[str, str] = field(default_factory=dict)  # remarks on what is not confirmed, by subject

    def table(self, label_map: str, classes: tuple[str, ...]) -> np.ndarray:
        """(256,) uint8: raw id to position in `classes`; 255 for what is not trained on or scored.

        A class of the map that `classes` leaves out is ignored too (16 of Cityscapes' 19).
        """
        table = np.full(IDS, IGNORE, np.uint8)
        for raw, name in self.maps[label_map].items():
            if name in classes:
                table[raw] = classes.index(name)
        return table

    @property
    def default_map(self) -> str:
        """The map that is used unless another is named: the first."""
        return next(iter(self.maps))
