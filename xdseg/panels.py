"""Panels: what a cell predicted on a few fixed images, kept beside its record for the page to show.

Only of suites whose images may be shown. A strip is those images side by side. The predictions' strip belongs to a
cell and lies beside its record; image and truth belong to a target and lie once below `records/<suite>/_panels/`,
named by their digests. Strips of one target have one geometry, so that they can be laid one above the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xdseg.canonical import short
from xdseg.cells import Cell, Context
from xdseg.data.locks import FolderLock, Lock
from xdseg.data.store import PixelStore, open_store
from xdseg.evaluation.predictions import Predictions
from xdseg.evaluation.truth_size import nearest
from xdseg.files import file_digest, temporary
from xdseg.palette import colours as class_colours
from xdseg.settings.suites import Suite
from xdseg.stages.cache import fill
from xdseg.stages.predict import PREDICTIONS
from xdseg.workflow import cache_path

SHOWN = 3  # images of a split: first, middle, last
HEIGHT = 160  # pixels of a strip at most; lower images keep their size
WIDTH = 320  # pixels of one image in a strip at most
QUALITY = 88  # of the JPEG strip of images
FOLDER = "_panels"  # below records/<suite>/; no method can have this name
IGNORED = (255, 255, 255)  # colour of what is not labelled


def may_show(context: Context) -> bool:
    """May committed pages show images of the grid's suite? Generated ones; photographs if suite or lock say so."""
    return allows_showing(context.params.suites[context.suite], context.lock)


def allows_showing(suite: Suite, lock: Lock) -> bool:
    """The same of any suite and its lock."""
    return suite.redistribute or (isinstance(lock, FolderLock) and lock.contents.redistribute)


def positions(count: int) -> list[int]:
    """Which images of a split are shown: first, middle and last, each once."""
    return sorted({round(step * (count - 1) / (SHOWN - 1)) for step in range(SHOWN)})


@dataclass(frozen=True)
class TargetStrips:
    """Where image and truth of a target's shown images lie, below a folder of records."""

    images: Path
    truth: Path

    @classmethod
    def of(cls, records: Path, context: Context, target: str) -> "TargetStrips":
        """Those of the grid's suite and protocol."""
        return cls.at(records / context.suite, context.lock, target, context.eval_split(target))

    @classmethod
    def at(cls, suite: Path, lock: Lock, target: str, split: str) -> "TargetStrips":
        """Below a suite's records, named by the split's digests: changed data is another file."""
        folder, name = suite / FOLDER, f"{target}--{split}"
        images, labels = short(lock.images(target, split)), short(lock.labels(target, split))
        return cls(folder / f"{name}--images--{images}.jpg", folder / f"{name}--labels--{labels}.png")


def panel_of(record: Path) -> Path:
    """Strip of predictions beside a record."""
    return record.with_suffix(".png")


def write_panel(record: Path, records: Path, cell: Cell) -> dict[str, Any]:
    """Write a cell's strip, and its target's where they lack; returns what the record says of it.

    `record` is the path of the record below `records`.
    """
    context, target = cell.context, cell.pair.target
    truth = _store(context, target, "labels")
    shown = positions(len(truth))
    with Predictions(cell.folder / PREDICTIONS) as predictions:
        found = [predictions.read(truth.names[at]) for at in shown]
    # classes may have been chosen at another size than the truth's
    ids = [_small(nearest(one, truth.shape(at))) for one, at in zip(found, shown, strict=True)]
    _save_ids(panel_of(record), ids, context.lock.classes)
    strips = TargetStrips.of(records, context, target)
    if not strips.truth.exists():
        _save_ids(strips.truth, [_small(truth[at]) for at in shown], context.lock.classes)
    if not strips.images.exists():
        images = _store(context, target, "images")
        _save_images(strips.images, [_small(images[at]) for at in shown])
    widths = [array.shape[1] for array in ids]
    return {"sha256": file_digest(panel_of(record)), "names": [truth.names[at] for at in shown], "widths": widths}


def _store(context: Context, target: str, what: str) -> PixelStore:
    split = context.eval_split(target)
    index = Path(cache_path(context, target, split, what))
    fill(index, context, domain=target, split=split, what=what)  # there already, unless a reader cleared the cache
    return open_store(index)


def _small(pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3) within HEIGHT x WIDTH: images averaged, class ids picked, none invented."""
    height, width = pixels.shape[:2]
    scale = min(1.0, HEIGHT / height, WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return np.array(pixels)
    how = Image.Resampling.NEAREST if pixels.ndim == 2 else Image.Resampling.BOX
    return np.array(Image.fromarray(pixels).resize(size, how))


def _joined(parts: Sequence[np.ndarray], blank: int) -> np.ndarray:
    """Side by side, as high as the highest; what is lower is filled with `blank`."""
    height = max(part.shape[0] for part in parts)
    fill = [(0, 0)] * (parts[0].ndim - 1)
    padded = [np.pad(part, [(0, height - part.shape[0]), *fill], constant_values=blank) for part in parts]
    return np.concatenate(padded, axis=1)


def _save_ids(path: Path, parts: Sequence[np.ndarray], classes: Sequence[str]) -> None:
    """Class ids as a PNG with the classes' colours, so that a reader of the ids gets them back."""
    image = Image.fromarray(_joined(parts, 255))
    image.putpalette([part for colour in colours(classes, 256) for part in colour])  # mode L becomes P, ids stay
    with temporary(path) as unfinished:
        image.save(unfinished, format="PNG", optimize=True)


def _save_images(path: Path, parts: Iterable[np.ndarray]) -> None:
    with temporary(path) as unfinished:
        Image.fromarray(_joined(list(parts), 255)).save(unfinished, format="JPEG", quality=QUALITY, optimize=True)


def colours(classes: Sequence[str], count: int | None = None) -> list[tuple[int, int, int]]:
    """A colour per class, as everywhere; ids beyond the classes, up to `count`, are `IGNORED`."""
    found = [tuple(colour) for colour in class_colours(tuple(classes)).tolist()]
    return found + [IGNORED] * ((count or len(found)) - len(found))
