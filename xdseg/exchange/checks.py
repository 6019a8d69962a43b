"""A pack held against the project that it comes to: a line per reason to refuse it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.exchange.fingerprints import fingerprint_faults
from xdseg.exchange.leaning import BETWEEN, files_of, panel_faults, place_of, splits_of
from xdseg.exchange.locks import Here
from xdseg.exchange.manifest import Manifest
from xdseg.exchange.scores import score_faults
from xdseg.records import COMMITTED, confusion_of, read_json
from xdseg.reporting.origin import unmarked
from xdseg.reporting.records import load_record

UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)  # of a record that is not whole
LONGEST = 120  # characters of what is told of one


@dataclass
class Check:
    """What was found in an unpacked pack; it may be taken if there are no `faults`."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)  # by path, as they are in the pack
    known: list[str] = field(default_factory=list)  # paths of records that are here already, equal
    faults: list[str] = field(default_factory=list)


def check(manifest: Manifest, folder: Path, suites: dict[str, Here]) -> Check:
    """Look at every record of the pack at `folder`; `suites` are those whose locks are the same here."""
    found, leant_on = Check(), set()
    names = sorted(name for name in manifest.files if name.endswith(".json"))
    for name in names:
        at = _Record(name, folder, manifest, suites)
        found.faults += [f"{name}: {fault}" for fault in at.faults(found)]
        leant_on |= at.leant_on
    if not names:
        found.faults.append("no record is in it")
    if not found.faults and suites.keys() >= manifest.locks.keys():
        extra = sorted(manifest.files.keys() - leant_on)
        found.faults += [f"{name}: no record of the pack leans on it" for name in extra]
    return found


@dataclass
class _Record:
    name: str
    folder: Path
    manifest: Manifest
    suites: dict[str, Here]
    leant_on: set[str] = field(default_factory=set)

    def faults(self, found: Check) -> Iterator[str]:
        """Why this record is refused; a good one is put into `found`."""
        path = self.folder / self.name
        try:
            record = load_record(path)
            if (place := place_of(record)) != self.name:
                yield f"by its contents it belongs to {place}"
                return
            if record["suite"] not in self.manifest.locks:
                yield f"the manifest has no lock of its suite {record['suite']!r}"
                return
            found.records[self.name] = record
            if here := self.suites.get(record["suite"]):
                yield from self._held_against(here, path, record)
            yield from self._beside(found, record)
        except BadInput as error:
            yield str(error).replace(f"{path}: ", "").replace(f"{self.folder}/", "")
        except UNFIT as error:
            yield f"no whole record ({type(error).__name__}: {' '.join(str(error).split())[:LONGEST]})"

    def _held_against(self, here: Here, path: Path, record: dict[str, Any]) -> Iterator[str]:
        if tuple(record["classes"]) != tuple(here.lock.classes):
            yield "its classes are not those of the suite here"
            return
        said = self.manifest.locks[record["suite"]].splits
        for at in sorted({BETWEEN.join(at) for at in splits_of(record, self.manifest.trainings)} - said.keys()):
            yield f"it leans on {at}, of which the manifest's lock says nothing"
        yield from fingerprint_faults(record, here.lock, self.manifest.trainings)
        confusion = confusion_of(path)
        if confusion.exists():
            yield from score_faults(record, confusion, here.lock)
        else:
            yield f"its confusion {confusion.name} is not in the pack"
        yield from panel_faults(path, record, allowed=here.images)
        files = files_of(path, record, root=self.folder / COMMITTED, lock=here.lock, images=here.images)
        self.leant_on = {str(file.relative_to(self.folder)) for file in files}

    def _beside(self, found: Check, record: dict[str, Any]) -> Iterator[str]:
        """The record here, if there is one, must be the same."""
        here = Path(self.name)
        if not here.exists():
            return
        if unmarked(read_json(here)) == unmarked(record):
            found.known.append(self.name)
        else:
            yield "another record of this cell is here already; keep one of the two"
