"""Files that miniatures of driving data sets are made of: random images, labels, and what lies beside them."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

BLOCK = 4  # pixels; labels are of such blocks
Written = dict[tuple[str, str | None], dict[str, tuple[np.ndarray, np.ndarray | None]]]
PALETTE = [(37 * i + 11 * channel) % 256 for i in range(256) for channel in (1, 5, 9)]


def picture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Random image (H, W, 3) uint8 of blocks with noise."""
    coarse = rng.integers(20, 220, (*_blocks(size), 3))
    return (_enlarged(coarse, size) + rng.integers(-20, 20, (*size, 3))).astype(np.uint8)


def ids(rng: np.random.Generator, size: tuple[int, int], valid: list[int]) -> np.ndarray:
    """Random label (H, W) uint8 of blocks; every valid id occurs if there are as many blocks."""
    blocks = _blocks(size)
    filled = np.resize(rng.permutation(valid), blocks[0] * blocks[1])
    return _enlarged(rng.permutation(filled).reshape(blocks), size).astype(np.uint8)


def _blocks(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // BLOCK), -(-size[1] // BLOCK)


def _enlarged(coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return coarse.repeat(BLOCK, 0).repeat(BLOCK, 1)[: size[0], : size[1]]


def save(path: Path, values: np.ndarray) -> np.ndarray:
    """Write an image file, with folders above it; returns its pixels as decoded, which of a JPEG are others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    with Image.open(path) as image:
        return np.array(image)


def save_palette(path: Path, label: np.ndarray) -> None:
    """Write ids as indices of a palette whose colours are no ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label)
    image.putpalette(PALETTE)
    image.save(path)


def coloured(label: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a picture of the label, as publishers add."""
    return np.array(PALETTE, np.uint8).reshape(256, 3)[label]


def save_instances(path: Path, label: np.ndarray) -> None:
    """Write a 16-bit grey PNG as of instances: id times 1000 and a number, or the id alone."""
    save(path, np.where(label % 2, label.astype(np.uint16) * 1000, label).astype(np.uint16))


def text(path: Path, contents: str = "{}") -> None:
    """Write a text file, with folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(contents)


def litter(folder: Path, name: str) -> None:
    """What a Mac leaves behind: .DS_Store, and `._` beside the file of a name, with its ending."""
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / f"._{name}").write_bytes(b"\0\5\26\7")


def save_png16(path: Path, channels: np.ndarray) -> None:
    """Write (H, W, 3 or 4) uint16 as a PNG of 16 bits a value; the rows take turns in PNG's five filters.

    Written by hand after the PNG specification, since Pillow has no colour of 16 bits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = channels.shape
    step = 2 * count  # bytes of a pixel
    rows = channels.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    above = np.zeros_like(rows[0])
    data = b""
    for y, row in enumerate(rows):
        data += bytes([y % 5]) + ((row - _predicted(row, above, step, y % 5)) % 256).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[count], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks))


def _predicted(row: np.ndarray, above: np.ndarray, step: int, kind: int) -> np.ndarray:
    left = np.concatenate([np.zeros(step, int), row[:-step]])
    corner = np.concatenate([np.zeros(step, int), above[:-step]])
    if kind < 4:
        return (np.zeros_like(row), left, above, (left + above) // 2)[kind]
    guess = left + above - corner
    distances = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)])
    return np.choose(distances.argmin(0), [left, above, corner])  # the first wins a tie, as Paeth has it


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
