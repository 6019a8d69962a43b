"""Predictions on disk: one 8-bit PNG of class ids per image, NAME.png at the truth's size, in a zip or a folder.

XDSeg writes a `predictions.zip` per cell; a folder of the same PNGs lets predictions of any other code be scored.
Members of a zip are decoded in memory and never extracted.
"""

import struct
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdseg.data.pixels import png_fault
from xdseg.data.store import PixelStore
from xdseg.errors import BadInput
from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.raw_ids import RawIds
from xdseg.evaluation.truth_size import at_scored_size
from xdseg.files import temporary
from xdseg.settings.sizes import TruthSize

FAULTS = 20  # faults and missing names that one error spells out
READABLE = 0o644 << 16  # permissions of a member, where a zip keeps them
# whatever a damaged file makes the decoders raise
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError),
    *(BadZipFile, zlib.error, struct.error, Image.DecompressionBombError),
)


def write_predictions(path: Path, pairs: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write (name, class ids (H, W) uint8) pairs as a zip, in the given order, atomically.

    Equal input gives equal bytes: members carry a fixed date and are stored, as PNGs are compressed already.
    """
    with temporary(path) as unfinished, ZipFile(unfinished, "w") as archive:
        for name, ids in pairs:
            member = ZipInfo(f"{name}.png")  # dated 1980-01-01
            member.external_attr = READABLE
            archive.writestr(member, encode_png(ids))


def encode_png(ids: np.ndarray) -> bytes:
    """Class ids (H, W) uint8 as a single-channel 8-bit PNG."""
    if ids.dtype != np.uint8 or ids.ndim != 2:
        raise ValueError(f"expected class ids (H, W) uint8, got {ids.shape} {ids.dtype}")
    file = BytesIO()
    Image.fromarray(ids).save(file, format="PNG")
    return file.getvalue()


class Predictions:
    """A zip or a folder of predictions, open for reading; a context manager. Raises BadInput if it is neither."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = ExitStack()
        self._archive = None if path.is_dir() else self._open.enter_context(_open_zip(path))

    def __enter__(self) -> "Predictions":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(self._archive.namelist() if self._archive else ())

    def __contains__(self, name: str) -> bool:
        member = f"{name}.png"
        return member in self._members if self._archive else (self.path / member).is_file()

    def read(self, name: str, *, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Class ids (H, W), uint8, of one image.

        Raises BadInput if the image is missing, is no 8-bit single-channel PNG, cannot be decoded, or differs from
        `shape` where that is given.
        """
        if name not in self:
            raise BadInput(f"{self.path}: {name}.png is missing")
        try:
            return _decode(self._bytes(f"{name}.png"), shape)
        except UnidentifiedImageError as error:  # its own text is the address of a buffer
            raise BadInput(f"{self.path}: {name}.png: no PNG; write class ids as 8-bit single-channel PNG") from error
        except UNREADABLE as error:
            raise BadInput(f"{self.path}: {name}.png: not a readable PNG ({error}); write it again") from error
        except BadInput as error:
            raise BadInput(f"{self.path}: {name}.png: {error}") from None

    def _bytes(self, member: str) -> bytes:
        return self._archive.read(member) if self._archive else (self.path / member).read_bytes()


def _open_zip(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such zip or folder of predictions") from None
    except (OSError, BadZipFile) as error:
        raise BadInput(f"{path}: not a readable zip of predictions ({error}); write it again") from error


def _decode(data: bytes, shape: tuple[int, ...] | None) -> np.ndarray:
    """Class ids of a PNG, checked before its pixels are decoded. Raises BadInput and all of UNREADABLE."""
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        image.verify()  # checksums of all chunks, which decoding leaves unread; uses the image up
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        if fault := png_fault(data):
            raise BadInput(f"an image of {fault}; write class ids as 8-bit single-channel PNG")
        size = (image.height, image.width)
        if shape is not None and size != tuple(shape):
            expected = " x ".join(map(str, shape))
            raise BadInput(f"{size[0]} x {size[1]} pixels, its truth has {expected}; write it at that size")
        return np.array(image)


def read_prediction(path: Path, name: str, *, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Class ids (H, W), uint8, of one image in a zip or folder; see `Predictions.read`."""
    with Predictions(path) as predictions:
        return predictions.read(name, shape=shape)


def score_split(
    path: Path,
    truth: PixelStore,
    *,
    classes: int,
    ignore_index: int,
    size: TruthSize = "native",
    raw: RawIds | None = None,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and confusion matrices (N, K, K), int64, of a split's images, in the truth's order.

    `path` is a zip or folder of predictions; what it holds besides is left alone. They have the truth's size, or that
    at which `size` has pixels counted. `raw` says whose raw ids they hold; if some pixel is then of no class, the
    matrices are (N, K, K + 1), see `confusion`. Raises one BadInput with all faults of the split: a summary, the
    missing names, then a line for each prediction that cannot be scored.
    """
    matrices, missing, faults = [], [], []
    with Predictions(path) as predictions:
        for position, name in enumerate(truth.names):
            if name not in predictions:
                missing.append(name)
                continue
            try:
                ids = predictions.read(name, shape=truth.shape(position) if size == "native" else None)
                label = f"{path}: {name}.png"
                pair = _comparable(truth[position], ids, size=size, raw=raw, name=label)
                counted = confusion(*pair, classes=classes, ignore_index=ignore_index, void=bool(raw), name=label)
                matrices.append(counted)
            except BadInput as error:
                faults.append(str(error))
    if missing or faults:
        raise BadInput(_summary(path, len(truth), missing, faults))
    per_image = np.stack(matrices) if matrices else np.zeros((0, classes, classes), np.int64)
    return truth.names, per_image if per_image[..., classes:].any() else per_image[..., :classes]


def _comparable(
    truth: np.ndarray, ids: np.ndarray, *, size: TruthSize, raw: RawIds | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction at the size at which they are counted, the prediction in class ids."""
    try:
        ids = at_scored_size(raw.class_ids(ids) if raw else ids, truth.shape, size)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    return at_scored_size(truth, truth.shape, size), ids


def _summary(path: Path, images: int, missing: list[str], faults: list[str]) -> str:
    lines = [f"{path}: {len(missing) + len(faults)} of {images} images cannot be scored; mend the predictions"]
    if missing:
        lines.append(f"  missing ({len(missing)}): {', '.join(_first(missing))}")
    return "\n".join(lines + [f"  {fault.removeprefix(f'{path}: ')}" for fault in _first(faults)])


def _first(items: list[str]) -> list[str]:
    return items if len(items) <= FAULTS else [*items[:FAULTS], f"and {len(items) - FAULTS} more"]


def save_confusion(path: Path, names: Iterable[str], per_image: np.ndarray) -> None:
    """Write names and matrices (N, K, K) int64 as compressed .npz: atomic, and equal bytes for equal input."""
    with temporary(path) as unfinished, unfinished.open("wb") as file:  # numpy would add an ending to a path
        np.savez_compressed(file, names=np.array(list(names), dtype=str), confusion=per_image)


def load_confusion(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and matrices (N, K, K), int64, as `save_confusion` wrote them. Raises BadInput if they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as contents:
            return tuple(contents["names"].tolist()), contents["confusion"]
    except (*UNREADABLE, KeyError) as error:
        raise BadInput(f"{path}: no readable confusion matrices ({error}); score the cell again") from error
