"""Decoding one image or label file, with a clear line for every way in which it can be wrong."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdseg.errors import BadInput

IMAGE_MODES = ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK")
LABEL_MODES = ("L", "P")  # one 8-bit channel; of a palette image the indices count, never the colours
IDS = 256
PNG_HEADER, BIT_DEPTH, COLOUR_TYPE = 26, 24, 25  # bytes of the header, and where two of its fields stand
GREY, PALETTE, BITS = 0, 3, 8
CHANNELS = {2: 3, 4: 2, 6: 4}  # by PNG colour type


def read_image(path: Path) -> np.ndarray:
    """RGB image (H, W, 3) uint8; grey is repeated, transparency is dropped. Raises BadInput."""
    with _opened(path) as image:
        if image.mode not in IMAGE_MODES:
            raise BadInput(f"{path}: an image of mode {image.mode}; save it with 8 bits per channel")
        return np.array(_loaded(path, image).convert("RGB"))


def read_label(path: Path) -> np.ndarray:
    """Class ids (H, W) uint8. Raises BadInput."""
    with _opened(path) as image:
        if image.format == "PNG" and (fault := png_fault(path.read_bytes()[:PNG_HEADER])):
            raise BadInput(f"{path}: a label of {fault}; save class ids as one 8-bit channel")
        if image.mode not in LABEL_MODES:
            channels = len(image.getbands())
            kind = f"{channels} channels" if channels > 1 else f"mode {image.mode}"
            raise BadInput(f"{path}: a label of {kind}; save class ids as one 8-bit channel")
        return np.array(_loaded(path, image))


def png_fault(header: bytes) -> str | None:
    """Why a PNG's values cannot be read as ids, or None; `header` is its beginning.

    A grey value of less than 8 bits is stretched to 0..255 when decoded, so it would silently be another id.
    """
    depth, colour = header[BIT_DEPTH], header[COLOUR_TYPE]
    if colour == PALETTE or (colour, depth) == (GREY, BITS):
        return None
    if colour == GREY:
        return f"{depth} bits a pixel"
    return f"{CHANNELS.get(colour, 'several')} channels"


def check_ids(path: Path, ids: Iterable[int], *, classes: int, ignore_index: int) -> None:
    """Raises BadInput if a label's ids hold one that is neither class nor ignore."""
    unknown = [i for i in ids if i >= classes and i != ignore_index]
    if unknown:
        found = f"id{'s' * (len(unknown) > 1)} {listed(unknown)}"
        raise BadInput(f"{path}: {found} outside the {classes} classes and not {ignore_index} (ignore); map to classes")


def listed(values: Sequence[int], most: int = 5) -> str:
    """The first few of many, in words."""
    return ", ".join(map(str, values[:most])) + (f" and {len(values) - most} more" if len(values) > most else "")


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: not readable as an image ({type(error).__name__}); fetch it again") from None


def _loaded(path: Path, image: Image.Image) -> Image.Image:
    try:
        image.load()
        return image
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{path}: broken or cut short ({error}); fetch it again") from None
