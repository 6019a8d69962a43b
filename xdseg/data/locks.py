"""Locks: the digests and counts of a suite's data, in git, so that a plan needs no data and no label.

`data/locks/<suite>.json` holds classes, splits and digests of images. Digest and statistics of a split's labels lie
in a file of their own below `data/locks/<suite>/`, opened only by who may see those labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, Field

from xdseg.canonical import fingerprint
from xdseg.data.lock_files import LockedSplits, SplitEntry, first_line, label_lock
from xdseg.data.streetworld import settings as streetworld
from xdseg.data.streetworld.settings import Streetworld
from xdseg.errors import BadInput, suggest
from xdseg.settings.suites import FolderSuite, PublicSuite, Suite

LOCKS = Path("data/locks")


class DomainEntry(BaseModel):
    """One domain in a lock."""

    classes: list[str]
    groups: str | None = None
    splits: dict[str, SplitEntry]


class LockFile(BaseModel):
    """data/locks/SUITE.json."""

    schema_number: Literal[1] = Field(alias="schema")
    suite: str
    classes: list[str]
    ignore_index: int
    redistribute: bool
    domains: dict[str, DomainEntry]


class LabelFile(BaseModel):
    """data/locks/SUITE/DOMAIN--SPLIT.labels.json."""

    digest: str
    pixels: dict[str, int]
    ignored: int


class Lock(Protocol):
    """What a plan may know of a suite."""

    classes: tuple[str, ...]
    ignore_index: int
    domains: tuple[str, ...]
    ready: tuple[str, ...]

    def has(self, domain: str, split: str) -> bool:
        """Is there such a split?"""

    def splits(self, domain: str) -> tuple[str, ...]:
        """Names of a domain's splits."""

    def locked(self, domain: str, split: str) -> bool:
        """Is there such a split, and can its digest be told?"""

    def overlap(self, domain: str, one: str, other: str) -> bool:
        """May two splits of a domain have an image in common?"""

    def labelled(self, domain: str, split: str) -> bool:
        """Does the split have labels at all?"""

    def count(self, domain: str, split: str) -> int:
        """Number of images."""

    def pixels(self, domain: str, split: str) -> int:
        """Pixels of all images together, whatever their label."""

    def images(self, domain: str, split: str) -> str:
        """Digest of the split's images and their order, 64 hexadecimal characters."""

    def labels(self, domain: str, split: str) -> str:
        """Digest of the split's labels; opens the file that only a granted reader may open."""

    def lacks(self, domain: str, split: str) -> set[str]:
        """Classes that the domain's labels do not know or that no pixel of the split has; opens the same file."""

    def truth_counts(self, domain: str, split: str) -> tuple[int, ...] | None:
        """Pixels of each class, by id; opens the same file. None where their sum alone is known: `pixels`."""

    def recordings(self, domain: str) -> str | None:
        """Pattern whose first group names the recording of an image; None where nobody says."""


@dataclass(frozen=True)
class FolderLock(LockedSplits):
    """The lock of a suite of photographs, as `xdseg prepare` wrote it, under what params.yaml says of its classes."""

    path: Path
    present: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # overrides suite.json's, per domain
    groups: Mapping[str, str] = field(default_factory=dict)  # likewise

    @cached_property
    def contents(self) -> LockFile:
        """The checked file."""
        name = self.path.stem
        try:
            return LockFile.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise BadInput(f"{self.path}: no lock; run `xdseg prepare {name}` once with the data at hand") from None
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.path}: not a lock ({first_line(error)}); run `xdseg prepare {name}`") from None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their ids."""
        return tuple(self.contents.classes)

    @property
    def ignore_index(self) -> int:
        """Label id that is never trained on or scored."""
        return self.contents.ignore_index

    @property
    def domains(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted(self.contents.domains))

    @property
    def ready(self) -> tuple[str, ...]:
        """What `pairs: all` means: every domain."""
        return self.domains

    def splits(self, domain: str) -> tuple[str, ...]:
        """Names of a domain's splits."""
        return tuple(self.contents.domains[domain].splits)

    def locked(self, domain: str, split: str) -> bool:
        """What the suite has is locked."""
        return self.has(domain, split)

    def overlap(self, domain: str, one: str, other: str) -> bool:
        """Only a split with itself: an image in two splits is not locked."""
        return one == other

    def _split(self, domain: str, split: str) -> SplitEntry:
        if domain not in self.domains:
            raise BadInput(f"{self.path}: no domain {domain!r}; {suggest(domain, self.domains)}")
        splits = self.contents.domains[domain].splits
        if split not in splits:
            raise BadInput(f"{self.path}: {domain} has no split {split!r}; {suggest(split, splits)}")
        return splits[split]

    def has(self, domain: str, split: str) -> bool:
        """Is there such a split?"""
        return domain in self.contents.domains and split in self.contents.domains[domain].splits

    def labelled(self, domain: str, split: str) -> bool:
        """Does the split have labels at all?"""
        return self._split(domain, split).labelled

    def _labels(self, domain: str, split: str) -> LabelFile:
        if not self.labelled(domain, split):
            raise BadInput(f"{self.path}: {domain} {split} has no labels")
        path = label_lock(self.path, domain, split)
        try:
            return LabelFile.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            mend = f"run `xdseg prepare {self.path.stem}`"
            raise BadInput(f"{path}: not readable ({first_line(error)}); {mend}") from None

    def labels(self, domain: str, split: str) -> str:
        """Digest of the split's labels."""
        return self._labels(domain, split).digest

    def lacks(self, domain: str, split: str) -> set[str]:
        """Classes that the domain's labels do not know or that no pixel of the split has."""
        present = self.present.get(domain) or self.contents.domains[domain].classes
        pixels = self._labels(domain, split).pixels
        return {name for name in self.classes if name not in present or not pixels.get(name)}

    def truth_counts(self, domain: str, split: str) -> tuple[int, ...]:
        """Pixels of each class, by id."""
        pixels = self._labels(domain, split).pixels
        return tuple(pixels.get(name, 0) for name in self.classes)

    def recordings(self, domain: str) -> str | None:
        """Pattern of params.yaml, else of the lock."""
        return self.groups.get(domain) or self.contents.domains[domain].groups


@dataclass(frozen=True)
class StreetworldLock:
    """Generated images need no lock file: their digest is the generator's version and settings."""

    settings: Streetworld
    classes: tuple[str, ...] = streetworld.CLASSES
    ignore_index: int = streetworld.IGNORE_INDEX
    domains: tuple[str, ...] = tuple(sorted(streetworld.DOMAINS))

    @property
    def ready(self) -> tuple[str, ...]:
        """What `pairs: all` means: every domain."""
        return self.domains

    def splits(self, domain: str) -> tuple[str, ...]:
        """Names of a domain's splits."""
        return streetworld.SPLITS

    def locked(self, domain: str, split: str) -> bool:
        """What the suite has needs no lock."""
        return self.has(domain, split)

    def overlap(self, domain: str, one: str, other: str) -> bool:
        """Only a split with itself: scenes are drawn per split."""
        return one == other

    def has(self, domain: str, split: str) -> bool:
        """Is there such a split?"""
        return domain in self.domains and split in streetworld.SPLITS

    def labelled(self, domain: str, split: str) -> bool:
        """Every pixel drawn is a pixel labelled."""
        return True

    def count(self, domain: str, split: str) -> int:
        """Number of images."""
        if not self.has(domain, split):
            raise BadInput(f"streetworld: no {split!r} of {domain!r}; {suggest(domain, self.domains)}")
        return getattr(self.settings, split)

    def pixels(self, domain: str, split: str) -> int:
        """Pixels of all images together."""
        return self.count(domain, split) * self.settings.height * self.settings.width

    def _digest(self, domain: str, split: str, what: str) -> str:
        # the other split's size is left out, so that more validation scenes orphan no training
        scene = {"seed": self.settings.seed, "height": self.settings.height, "width": self.settings.width}
        count = self.count(domain, split)
        return fingerprint(["streetworld", streetworld.VERSION, scene, domain, split, count, what])

    def images(self, domain: str, split: str) -> str:
        """Digest of the split's images."""
        return self._digest(domain, split, "images")

    def labels(self, domain: str, split: str) -> str:
        """Digest of the split's labels."""
        return self._digest(domain, split, "labels")

    def lacks(self, domain: str, split: str) -> set[str]:
        """Every class occurs in every domain (a test holds the generator to it)."""
        return set()

    def truth_counts(self, domain: str, split: str) -> None:
        """Nobody counted; every pixel is of a class."""
        return None

    def recordings(self, domain: str) -> None:
        """Every scene is drawn by itself."""
        return None


def open_lock(name: str, suite: Suite, folder: Path = LOCKS) -> Lock:
    """The lock of a suite; a missing one is reported when it is first read."""
    if isinstance(suite, PublicSuite):
        from xdseg.data.public import public_layout  # readers of files, which other suites plan without
        from xdseg.data.public_lock import PublicLock

        return PublicLock(folder / f"{name}.json", public_layout(name, suite))
    if isinstance(suite, FolderSuite):
        return FolderLock(folder / f"{name}.json", suite.present, suite.groups)
    return StreetworldLock(suite.generator)


def digest_of(names: list[str], digests: list[str]) -> str:
    """Digest of a split's files in the order of its list."""
    return fingerprint(list(zip(names, digests, strict=True)))
