"""One look at one file: is it whole, how large is it, which ids does it hold, what is its digest?

Labels are decoded, since their ids count. Of an image, the checksums that a PNG carries, and a JPEG decoded at an
eighth of its size, show damage for a fraction of the time that decoding takes. The checksums of labels are looked at
too: decoding a PNG leaves them out, and a damaged one may still decode, to other ids.
"""

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from xdseg.canonical import fingerprint
from xdseg.data.pixels import IDS, IMAGE_MODES, read_image, read_label
from xdseg.errors import BadInput

IMAGE, LABEL = "image", "label"
PNG, LAST_CHUNK = b"\x89PNG\r\n\x1a\n", b"IEND"
FIELD = 4  # bytes of a chunk's length, kind and checksum
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@dataclass(frozen=True)
class Errand:
    """One file to look at, and how to read it: `image`, `label`, or `DATASET@VERSION/image`."""

    path: Path
    reader: str
    beside: tuple[Path, ...] = ()  # further files that decide its pixels


@dataclass(frozen=True)
class Look:
    """What one look gave; `fault` is a line, and the rest is empty then."""

    sha256: str = ""
    shape: tuple[int, int] = (0, 0)
    ids: tuple[tuple[int, int], ...] = ()  # (id, pixels) of a label, ascending
    fault: str = ""


def look(errand: Errand) -> Look:
    """Look at one file. Never raises for a file that is wrong: the fault is in the result."""
    try:
        if errand.reader.endswith(IMAGE):
            return _image(errand)
        digest = _digest(errand)
        ids = _label_reader(errand.reader)(errand.path)
        counts = np.bincount(ids.ravel(), minlength=IDS)
        held = tuple((i, int(counts[i])) for i in np.flatnonzero(counts).tolist())
        return Look(digest, ids.shape, held)
    except BadInput as error:
        return Look(fault=str(error))
    except DAMAGE as error:  # which a decoder did not expect of any file
        said = " ".join(f"{type(error).__name__} {error}".split())
        return Look(fault=f"{errand.path}: broken ({said}); fetch it again")


def _image(errand: Errand) -> Look:
    read = _image_reader(errand.reader)
    if read is not read_image:
        return Look(_digest(errand), read(errand.path).shape[:2])
    data = _bytes(errand.path)
    return Look(sha256(data).hexdigest(), _whole(errand.path, data))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: not readable ({error.strerror}); mend its permissions") from None


def _whole(path: Path, data: bytes) -> tuple[int, int]:
    """(height, width) of an image whose bytes are undamaged. Raises BadInput as `read_image` does."""
    _check_sums(path, data)
    try:
        with Image.open(BytesIO(data)) as image:
            kind, mode, size = image.format, image.mode, (image.height, image.width)
            if mode in IMAGE_MODES and kind != "PNG":
                if kind == "JPEG":
                    image.draft(mode, (1, 1))
                image.load()
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        read_image(path)  # says what is wrong
        raise BadInput(f"{path}: broken or cut short; fetch it again") from None
    if mode not in IMAGE_MODES:
        read_image(path)
    return size


def _check_sums(path: Path, data: bytes) -> None:
    """Raises BadInput if a PNG is cut short or a checksum of its chunks is wrong; other formats have none."""
    place, kind = len(PNG), b""
    while data.startswith(PNG) and kind != LAST_CHUNK:
        start = place + FIELD  # of what is summed: kind and contents
        kind, end = data[start : start + FIELD], start + FIELD + int.from_bytes(data[place:start])
        place = end + FIELD
        if place > len(data) or zlib.crc32(data[start:end]) != int.from_bytes(data[end:place]):
            raise BadInput(f"{path}: broken or cut short (a checksum of the PNG is wrong); fetch it again")


def _digest(errand: Errand) -> str:
    """Digest of all files that decide the pixels. Raises BadInput if one is missing or damaged."""
    own = _sound_digest(errand.path)
    return fingerprint([own, *map(_shared_digest, errand.beside)]) if errand.beside else own


def _sound_digest(path: Path) -> str:
    data = _bytes(path)
    _check_sums(path, data)
    return sha256(data).hexdigest()


def _shared_digest(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise BadInput(f"{path}: not readable ({error.strerror}); extract the data set again") from None
    return _digest_at(path, (found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=8)
def _digest_at(path: Path, _stamp: tuple[int, int, int]) -> str:
    """Kept, because a file that describes a whole data set stands beside each of its labels."""
    return _sound_digest(path)


def _image_reader(reader: str):
    return _dataset(reader).read_image if "@" in reader else read_image


def _label_reader(reader: str):
    return _dataset(reader).read_label if "@" in reader else read_label


def _dataset(reader: str):
    from xdseg.datasets.registry import dataset

    return dataset(reader.partition("@")[0])
