"""Masks of medical data sets: grey or black-and-white files in many formats, and labels that come as two files."""

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdseg.errors import BadInput

HALF = 128  # mmsegmentation's converters divide by it, as some masks hold more than 0 and 255
VESSELS = {0: "background", 1: "vessel"}
FUNDUS = {0: "background", 1: "disc", 2: "cup"}
BACKGROUND, DISC, CUP = FUNDUS


def unzipped_image(path: Path) -> np.ndarray:
    """RGB image (H, W, 3) uint8 of a file that may be gzipped. Raises BadInput."""
    return np.array(_decoded(path).convert("RGB"))


def grey(path: Path) -> np.ndarray:
    """Grey values (H, W) uint8 of a mask in any mode, gzipped or not. Raises BadInput."""
    return np.array(_decoded(path).convert("L"))


def vessel_ids(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 of a mask of vessels: 1 where it is at least half bright. Raises BadInput."""
    return (grey(path) >= HALF).astype(np.uint8)


def disc_and_cup_ids(disc: Path, cup: Path, *, at_least: int) -> np.ndarray:
    """Raw ids (H, W) uint8 of two masks of one eye: 2 in the cup, 1 in the rest of the disc. Raises BadInput."""
    outer, inner = grey(disc), grey(cup)
    if outer.shape != inner.shape:
        sizes = f"{inner.shape[1]}x{inner.shape[0]}, the disc's is {outer.shape[1]}x{outer.shape[0]}"
        raise BadInput(f"{cup}: the cup's mask is {sizes}; they must agree pixel by pixel")
    return np.where(inner >= at_least, CUP, np.where(outer >= at_least, DISC, BACKGROUND)).astype(np.uint8)


def _decoded(path: Path) -> Image.Image:
    try:
        contents = path.read_bytes()
        image = Image.open(io.BytesIO(gzip.decompress(contents) if path.suffix == ".gz" else contents))
        image.load()
        return image
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise BadInput(f"{path}: not readable as an image; fetch it again") from None
    except (OSError, EOFError, zlib.error, SyntaxError, ValueError) as error:
        raise BadInput(f"{path}: broken or cut short ({error}); fetch it again") from None
