"""Locks of public suites: per split the digests of images and of raw labels, and how many pixels bear each raw id.

The publisher's ids are locked, not the suite's classes: another label map or class list needs no second look at the
files, and changes the digest of the labels that training or scoring sees.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from xdseg.canonical import fingerprint
from xdseg.data.lock_files import LockedSplits, SplitEntry, first_line, label_lock
from xdseg.data.public import PublicLayout
from xdseg.datasets.contract import IGNORE
from xdseg.errors import BadInput, suggest


class PublicDomainEntry(BaseModel):
    """One domain in a public suite's lock."""

    dataset: str
    part: str | None
    splits: dict[str, SplitEntry]


class PublicLockFile(BaseModel):
    """data/locks/SUITE.json of a public suite."""

    schema_number: Literal[1] = Field(1, alias="schema")
    suite: str
    kind: Literal["public"]
    domains: dict[str, PublicDomainEntry]


class RawLabelFile(BaseModel):
    """data/locks/SUITE/DOMAIN--SPLIT.labels.json of a public suite."""

    digest: str
    ids: dict[int, int]  # pixels by raw id


@dataclass(frozen=True)
class PublicLock(LockedSplits):
    """What is locked of a suite of public data sets, read through the label maps that params.yaml names."""

    path: Path
    layout: PublicLayout
    ignore_index: int = IGNORE

    @cached_property
    def contents(self) -> PublicLockFile:
        """The checked file."""
        try:
            return PublicLockFile.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise BadInput(f"{self.path}: no lock; {self._mend} once with the data at hand") from None
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.path}: not a lock ({first_line(error)}); {self._mend}") from None

    @property
    def _mend(self) -> str:
        return f"run `xdseg prepare {self.layout.name}` with these settings"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their ids."""
        return self.layout.classes

    @property
    def domains(self) -> tuple[str, ...]:
        """All that params.yaml declares, sorted."""
        return tuple(sorted(self.layout.settings.domains))

    @property
    def ready(self) -> tuple[str, ...]:
        """Those of them that are locked: what `pairs: all` means."""
        return tuple(domain for domain in self.domains if domain in self.contents.domains)

    def has(self, domain: str, split: str) -> bool:
        """Does the data set have such a split? Whether it is locked shows when its digest is asked for."""
        return domain in self.layout.settings.domains and split in self.layout.splits(domain)

    def splits(self, domain: str) -> tuple[str, ...]:
        """Names of the splits that a domain has."""
        return tuple(self.layout.splits(domain))

    def locked(self, domain: str, split: str) -> bool:
        """Can the split's digest be told?"""
        return self.has(domain, split) and self._entry(domain, split) is not None

    def overlap(self, domain: str, one: str, other: str) -> bool:
        """May two splits of a domain have an image in common?"""
        splits = self.layout.splits(domain)
        return splits[one].shares_images(one, other, splits[other])

    def labelled(self, domain: str, split: str) -> bool:
        """Does the split have public labels at all?"""
        return self.layout.splits(domain)[split].labelled

    def _split(self, domain: str, split: str) -> SplitEntry:
        if not self.has(domain, split):
            known = self.domains if domain not in self.domains else self.splits(domain)
            raise BadInput(f"{self.path}: no {split!r} of {domain!r}; {suggest(split, known)}")
        if entry := self._entry(domain, split):
            return entry
        raise BadInput(f"{self.path}: {split} of {domain} is not locked yet; {self._mend}")

    def _entry(self, domain: str, split: str) -> SplitEntry | None:
        entry, said = self.contents.domains.get(domain), self.layout.entry(domain)
        same = entry is not None and (entry.dataset, entry.part) == (said.dataset, said.part)
        return entry.splits.get(split) if same else None

    def _labels(self, domain: str, split: str) -> RawLabelFile:
        if not self._split(domain, split).labelled:
            raise BadInput(f"{self.path}: {domain} {split} has no labels")
        path = label_lock(self.path, domain, split)
        try:
            return RawLabelFile.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: not readable ({first_line(error)}); {self._mend}") from None

    def raw_labels(self, domain: str, split: str) -> str:
        """Digest of the label files as published."""
        return self._labels(domain, split).digest

    def labels(self, domain: str, split: str) -> str:
        """Digest of the split's labels as they are read here: files and table."""
        return fingerprint([self.raw_labels(domain, split), self.layout.table(domain).tolist()])

    def lacks(self, domain: str, split: str) -> set[str]:
        """Classes that no pixel of the split has."""
        counts = self.statistics(domain, split)
        return {name for number, name in enumerate(self.classes) if not counts[number]}

    def truth_counts(self, domain: str, split: str) -> tuple[int, ...]:
        """Pixels of each class, by id."""
        return tuple(self.statistics(domain, split)[: len(self.classes)].tolist())

    def recordings(self, domain: str) -> str | None:
        """As the data set's reader knows its names."""
        return self.layout.dataset(domain).groups

    def statistics(self, domain: str, split: str) -> np.ndarray:
        """(256,) int64: pixels per class id, 255 the ignored ones."""
        counts = np.zeros(IGNORE + 1, np.int64)
        table = self.layout.table(domain)
        for raw, pixels in self._labels(domain, split).ids.items():
            counts[table[raw]] += pixels
        return counts
