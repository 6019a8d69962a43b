"""Bootstrap replicates of a cell's mIoU: drawn from its per-image confusion, and stored beside it.

A stored file is one line of JSON, then the values as little-endian float32. Its `key` is a fingerprint of all that
decides them. A file of another key, or one that is damaged, counts as none and its values are drawn anew; these are
the same to the last bit (`statistics.bootstrap`), so that a board does not depend on what is stored.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xdseg.canonical import fingerprint
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import load_confusion
from xdseg.evaluation.scores import scored_rows
from xdseg.files import file_digest, temporary
from xdseg.records import confusion_of, replicates_of
from xdseg.reporting.statistics.bootstrap import (
    IMAGES,
    RECORDINGS,
    REPLICATES,
    Replicates,
    Resampling,
    mean_iou,
    overlaps,
    recordings,
    too_few,
)

VERSION = 1  # of the values: raised when another number would be drawn from the same confusion
STORED = np.dtype("<f4")


@dataclass(frozen=True)
class Basis:
    """All that decides the replicates of a cell."""

    confusion: str  # SHA-256 of the file
    classes: tuple[str, ...]
    kept: tuple[str, ...]
    outside: Literal["ignore", "count"] = "ignore"
    recordings: str | None = None  # pattern whose first group names an image's recording
    number: int = REPLICATES

    @classmethod
    def of(cls, record: dict[str, Any], pattern: str | None) -> "Basis":
        """Of a record, under what its suite says today of recordings."""
        scoring = record["protocol"].get("scoring") or {}
        classes, kept = tuple(record["classes"]), tuple(record["scores"]["kept"])
        outside = scoring.get("outside") or "ignore"
        return cls(record["confusion"]["sha256"], classes, kept, outside, pattern)

    @cached_property
    def key(self) -> str:
        """Fingerprint."""
        return fingerprint({"version": VERSION} | asdict(self))


def draw(names: Sequence[str], per_image: np.ndarray, basis: Basis) -> Replicates:
    """Replicates of a confusion, (N, K, K) or (N, K, K + 1), of the named images."""
    of_image = recordings(names, basis.recordings)
    resampling, unit = Resampling(of_image, basis.number), RECORDINGS if basis.recordings else IMAGES
    about = {"clusters": len(resampling.clusters), "unit": unit, "images": len(names)}
    about |= {"drawn": fingerprint(sorted(zip(names, of_image, strict=True)))}
    if too_few(about["clusters"]):
        return Replicates(**about, values=np.zeros(0, STORED))
    kept = tuple(basis.classes.index(name) for name in basis.kept)
    counts = overlaps(per_image, kept=kept, rows=scored_rows(basis.classes, kept, basis.outside))
    return Replicates(**about, values=mean_iou(resampling.totals(counts)).astype(STORED))


def store(path: Path, confusion: Path, basis: Basis) -> None:
    """Draw from a confusion's file, and write."""
    write(path, draw(*load_confusion(confusion), basis), basis)


def write(path: Path, found: Replicates, basis: Basis) -> None:
    """Equal input gives equal bytes, and the write is atomic."""
    values = found.values.astype(STORED).tobytes()
    about = {name: getattr(found, name) for name in ("clusters", "unit", "images", "drawn")}
    about |= {"key": basis.key, "sha256": sha256(values).hexdigest()}
    with temporary(path) as unfinished:
        unfinished.write_bytes(json.dumps(about, sort_keys=True).encode() + b"\n" + values)


def read(path: Path, basis: Basis) -> Replicates | None:
    """What is stored for this basis; None if nothing is, or not all of it."""
    try:
        line, _, values = path.read_bytes().partition(b"\n")
        about = json.loads(line)
        if about.pop("key") != basis.key or about.pop("sha256") != sha256(values).hexdigest():
            return None
        return Replicates(**about, values=np.frombuffer(values, STORED))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def of_record(path: Path, record: dict[str, Any], pattern: str | None) -> Replicates | None:
    """Of the record at `path`: stored beside it, else drawn from its confusion; None if it has none.

    `pattern` names recordings. Raises BadInput if the confusion is not the record's.
    """
    confusion = confusion_of(path)
    if not record.get("confusion"):
        return None
    basis = Basis.of(record, pattern)
    if found := read(replicates_of(path), basis):
        return found
    if not confusion.exists():
        return None
    if file_digest(confusion) != basis.confusion:
        raise BadInput(f"{confusion}: not the confusion that {path} names; restore it, or score the cell again")
    return draw(*load_confusion(confusion), basis)
