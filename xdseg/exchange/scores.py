"""A record's scores, made again from its per-image confusion, and that held against the pixels that are locked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from xdseg.data.locks import Lock
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import load_confusion
from xdseg.evaluation.summary import scores_of
from xdseg.exchange.pack import LARGEST
from xdseg.files import file_digest
from xdseg.settings.evaluation import Scoring

LONGEST = 60  # characters of a value that are told


def score_faults(record: dict[str, Any], confusion: Path, lock: Lock) -> Iterator[str]:
    """Why scores, confusion and lock do not agree; nothing if they do."""
    if file_digest(confusion) != record["confusion"]["sha256"]:
        yield f"{confusion.name} is not the confusion whose hash the record names"
        return
    per_image = _counts(confusion, len(lock.classes))
    scoring = Scoring.model_validate(record["protocol"]["scoring"])
    yield from _pixels(per_image, record, lock, scoring)
    kept = tuple(lock.classes.index(name) for name in record["scores"]["kept"])
    found = scores_of(per_image, classes=lock.classes, kept=kept, scoring=scoring)
    said = record["scores"]
    for key in sorted(found.keys() | said.keys()):
        if found.get(key) != said.get(key):
            yield f"scores.{key}: recorded is {_shown(said.get(key))}, the confusion gives {_shown(found.get(key))}"


def _counts(path: Path, classes: int) -> np.ndarray:
    """Matrices (N, K, K) or (N, K, K + 1). Raises BadInput for anything else."""
    try:
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (OSError, BadZipFile) as error:
        raise BadInput(f"{path.name}: no readable confusion ({error})") from None
    if size > LARGEST:
        raise BadInput(f"{path.name}: would have {size:,} bytes, more than {LARGEST:,}")
    names, counts = load_confusion(path)
    shapes = {(len(names), classes, classes), (len(names), classes, classes + 1)}
    if counts.dtype != np.int64 or counts.shape not in shapes or (counts < 0).any():
        raise BadInput(f"{path.name}: no counts of {classes} classes")
    return counts


def _pixels(per_image: np.ndarray, record: dict[str, Any], lock: Lock, scoring: Scoring) -> Iterator[str]:
    at = record["target"], record["protocol"]["eval_split"]
    if len(per_image) != lock.count(*at):
        yield f"the confusion is of {len(per_image)} images, the lock here has {lock.count(*at)} of {' '.join(at)}"
    if scoring.truth != "native":  # the lock has pixels at the labels' own size alone
        return
    rows = per_image.sum(axis=(0, 2)).tolist()
    locked = lock.truth_counts(*at)
    if locked is None:
        if sum(rows) != lock.pixels(*at):
            yield f"the confusion has {sum(rows):,} pixels, the lock here {lock.pixels(*at):,} of {' '.join(at)}"
        return
    for name, found, wanted in zip(lock.classes, rows, locked, strict=True):
        if found != wanted:
            yield f"the confusion has {found:,} pixels of {name}, the lock here {wanted:,} of {' '.join(at)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
