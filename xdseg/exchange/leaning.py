"""What a record leans on: its training, splits of its suite's data, files beside it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from xdseg.canonical import short
from xdseg.cells import UNITE
from xdseg.data.locks import Lock
from xdseg.exchange.manifest import SplitDigests, SuiteDigests
from xdseg.files import file_digest
from xdseg.panels import TargetStrips, panel_of
from xdseg.records import COMMITTED, confusion_of

Split = tuple[str, str]  # domain and split
BETWEEN = "--"  # domain and split in one name, neither of which holds it


def place_of(record: dict[str, Any]) -> str:
    """Path of a record, as its contents give it."""
    pair = f"{UNITE.join(record['source'])}{BETWEEN}{record['target']}"
    name = f"s{record['seed']}-{short(record['fingerprints']['score'])}.json"
    return str(PurePosixPath(COMMITTED) / record["suite"] / record["method"] / pair / name)


def splits_of(record: dict[str, Any], trainings: Mapping[str, dict[str, Any]]) -> Iterator[Split]:
    """The splits that the record's number depends on; a parent's training too."""
    yield record["target"], record["protocol"]["eval_split"]
    for _, payload in lineage(record["fingerprints"]["train"], trainings):
        for seen in filter(None, (*payload["source"], payload["target"])):
            yield seen["domain"], seen["split"]


def lineage(train: str | None, trainings: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A training by its fingerprint, then those that it starts from, as far as they are told."""
    told: set[str] = set()
    while train in trainings and train not in told:
        told.add(train)
        yield train, trainings[train]
        train = trainings[train]["parent"]


def digests(lock: Lock, splits: Iterable[Split]) -> SuiteDigests:
    """What a lock says of splits."""
    found = {
        BETWEEN.join(at): SplitDigests(images=lock.images(*at), labels=lock.labels(*at) if lock.labelled(*at) else None)
        for at in sorted(set(splits))
    }
    return SuiteDigests(classes=list(lock.classes), ignore_index=lock.ignore_index, splits=found)


def panel_faults(path: Path, record: dict[str, Any], *, allowed: bool) -> Iterator[str]:
    """Why the panel beside a record, if there is one, is refused; `allowed` is whether images may be handed on."""
    panel = panel_of(path)
    if not panel.exists():
        return
    if not allowed:
        yield f"{panel.name} shows images of suite {record['suite']}, which may not be handed on"
    elif file_digest(panel) != (record.get("panel") or {}).get("sha256"):
        yield f"{panel.name} is not the panel whose hash the record names"


def files_of(path: Path, record: dict[str, Any], *, root: Path, lock: Lock, images: bool) -> list[Path]:
    """The files that a record at `path`, below the records at `root`, leans on, itself last; there or not.

    `images` says whether its suite's may be handed on.
    """
    if not images or not record.get("panel"):
        return [confusion_of(path), path]
    strips = TargetStrips.at(root / record["suite"], lock, record["target"], record["protocol"]["eval_split"])
    return [confusion_of(path), panel_of(path), strips.images, strips.truth, path]
