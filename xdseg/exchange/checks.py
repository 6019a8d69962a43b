"""A pack held against the project that it comes to: a line per reason to refuse it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xdseg.data.locks import Lock, open_lock
from xdseg.errors import BadInput, suggest
from xdseg.exchange.fingerprints import fingerprint_faults
from xdseg.exchange.leaning import files_of, place_of, splits_of
from xdseg.exchange.manifest import Manifest, SuiteDigests
from xdseg.exchange.scores import score_faults
from xdseg.files import file_digest
from xdseg.panels import allows_showing, panel_of
from xdseg.records import COMMITTED, confusion_of, read_json
from xdseg.reporting.origin import IMPORTED
from xdseg.reporting.records import load_record
from xdseg.settings.suites import Suite

UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)  # of a record that is not whole


@dataclass
class Check:
    """An unpacked pack at `folder`; `faults` is empty once it has been looked at and found good."""

    manifest: Manifest
    folder: Path
    suites: Mapping[str, Suite]  # as the settings in force name them
    records: dict[str, dict[str, Any]] = field(default_factory=dict)  # by path, as they are in the pack
    known: list[str] = field(default_factory=list)  # paths of records that are here already, equal
    faults: list[str] = field(default_factory=list)

    def run(self) -> "Check":
        """Look at everything."""
        locks = self._locks()
        names = sorted(name for name in self.manifest.files if name.endswith(".json"))
        leant_on: set[str] = set()
        for name in names:
            found = [*self._record(name, locks, leant_on)]
            self.faults += [f"{name}: {fault}" for fault in found]
        if not names:
            self.faults.append("no record is in it")
        if not self.faults:
            extra = sorted(self.manifest.files.keys() - leant_on)
            self.faults += [f"{name}: no record of the pack leans on it" for name in extra]
        return self

    def _locks(self) -> dict[str, Lock]:
        """Locks here by suite, of those that are the sender's too."""
        found = {}
        for suite, said in sorted(self.manifest.locks.items()):
            if suite not in self.suites:
                known = suggest(suite, self.suites)
                self.faults.append(f"suite {suite!r} is not among the settings in force; {known}")
                continue
            lock = open_lock(suite, self.suites[suite])
            faults = [*_lock_faults(lock, said)]
            self.faults += [f"suite {suite}: {fault}" for fault in faults]
            if not faults:
                found[suite] = lock
        return found

    def _record(self, name: str, locks: dict[str, Lock], leant_on: set[str]) -> Iterator[str]:
        path = self.folder / name
        try:
            record = load_record(path)
            if (place := place_of(record)) != name:
                yield f"by its contents it belongs to {place}"
                return
            if record["suite"] not in self.manifest.locks:
                yield f"the manifest has no lock of its suite {record['suite']!r}"
                return
            if lock := locks.get(record["suite"]):
                self.records[name] = record
                yield from self._held_against(path, record, lock, leant_on)
            yield from self._beside(name, record)
        except BadInput as error:
            yield str(error).replace(f"{path}: ", "").replace(f"{self.folder}/", "")
        except UNFIT as error:
            yield f"no whole record ({type(error).__name__}: {' '.join(str(error).split())[:120]})"

    def _held_against(self, path: Path, record: dict[str, Any], lock: Lock, leant_on: set[str]) -> Iterator[str]:
        if tuple(record["classes"]) != tuple(lock.classes):
            yield "its classes are not those of the suite here"
            return
        said = self.manifest.locks[record["suite"]].splits
        for at in sorted({"--".join(at) for at in splits_of(record, self.manifest.trainings)} - said.keys()):
            yield f"it leans on {at}, of which the manifest's lock says nothing"
        yield from fingerprint_faults(record, lock, self.manifest.trainings)
        confusion = confusion_of(path)
        if confusion.exists():
            yield from score_faults(record, confusion, lock)
        else:
            yield f"its confusion {confusion.name} is not in the pack"
        shown = allows_showing(self.suites[record["suite"]], lock)
        files = files_of(path, record, root=self.folder / COMMITTED, lock=lock, images=shown)
        leant_on.update(str(file.relative_to(self.folder)) for file in files)
        panel = panel_of(path)
        if panel.exists() and not shown:
            yield f"{panel.name} shows images of suite {record['suite']}, which may not be handed on"
        elif panel.exists() and file_digest(panel) != (record.get("panel") or {}).get("sha256"):
            yield f"{panel.name} is not the panel whose hash the record names"

    def _beside(self, name: str, record: dict[str, Any]) -> Iterator[str]:
        """The record here, if there is one, must be the same."""
        here = Path(name)
        if not here.exists():
            return
        if without_mark(read_json(here)) == without_mark(record):
            self.known.append(name)
        else:
            yield "another record of this cell is here already; keep one of the two"


def without_mark(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it was before anybody imported it."""
    return {key: value for key, value in record.items() if key != IMPORTED}


def _lock_faults(lock: Lock, said: SuiteDigests) -> Iterator[str]:
    try:
        if (list(lock.classes), lock.ignore_index) != (said.classes, said.ignore_index):
            yield "its classes or their ids are others here"
            return
    except BadInput as error:  # no lock here
        yield str(error)
        return
    for at, digests in sorted(said.splits.items()):
        domain, _, split = at.partition("--")
        if not lock.has(domain, split) or not lock.locked(domain, split):
            yield f"{domain} {split} is not locked here"
            continue
        if lock.images(domain, split) != digests.images:
            yield f"{domain} {split}: other images are locked here"
        if (lock.labels(domain, split) if lock.labelled(domain, split) else None) != digests.labels:
            yield f"{domain} {split}: other labels are locked here"
