"""Decoding labels that are not one 8-bit channel: 16-bit colour (SYNTHIA), grey saved as colour (UrbanSyn)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdseg.data.pixels import BIT_DEPTH, BITS, COLOUR_TYPE, PNG_HEADER, read_label
from xdseg.errors import BadInput

WIDE = 16
RGB, RGBA = 2, 6  # PNG colour types
UPPER_BYTE, LOWER_BYTE = "16B", "16L"  # what Pillow keeps of a PNG's value: it has no colour of 16 bits
GREY_COPIES = {"RGB": 3, "RGBA": 3, "LA": 1}  # channels that hold the grey value, the rest is opacity


def read_first_of_16_bit(path: Path) -> np.ndarray:
    """First channel (H, W), uint8, of a PNG with 16-bit colour. Raises BadInput.

    By itself Pillow keeps the upper byte of each value, which is 0 for every class; told that the bytes stand the
    other way round, it keeps the lower one.
    """
    with _opened(path) as image:
        depth, colour = _depth_and_colour(path) if image.format == "PNG" else (0, 0)
        if depth != WIDE or colour not in (RGB, RGBA):
            kind = f"{depth} bits a value, colour type {colour}" if depth else f"a {image.format} file"
            raise BadInput(f"{path}: {kind}; ids are in the first channel of 16-bit RGB, in GT/LABELS, not GT/COLOR")
        image.verify()  # the checksums, which decoding leaves out: extracting the archive is known to spoil files
    upper = _first_channel(path, UPPER_BYTE)
    if upper.any():
        raise BadInput(f"{path}: its first channel exceeds 255, so it holds no ids; fetch it again")
    return _first_channel(path, LOWER_BYTE)


def read_repeated_grey(path: Path) -> np.ndarray:
    """Grey values (H, W), uint8, of a PNG with one 8-bit channel, or with the same in red, green and blue.

    Raises BadInput where the channels differ, which is a picture of the label and not the label.
    """
    with _opened(path) as image:
        if image.format != "PNG" or image.mode not in GREY_COPIES:
            return read_label(path)
        depth, _ = _depth_and_colour(path)
        if depth != BITS:
            raise BadInput(f"{path}: a label of {depth} bits a value; ids are grey values of {BITS} bits")
        channels = np.asarray(image)
        grey = channels[..., 0].copy()
        if (channels[..., : GREY_COPIES[image.mode]] != grey[..., None]).any():
            raise BadInput(f"{path}: colours, not ids; labels are grey values, so look whether folders were exchanged")
        return grey


def _depth_and_colour(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        header = file.read(PNG_HEADER)
    return header[BIT_DEPTH], header[COLOUR_TYPE]


def _first_channel(path: Path, kept: str) -> np.ndarray:
    with _opened(path) as image:
        (tile,) = image.tile
        image.tile = [tile._replace(args=f"{image.mode};{kept}")]
        return np.asarray(image)[..., 0].copy()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image; what goes wrong in opening or decoding it is BadInput."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: not readable as an image ({type(error).__name__}); fetch it again") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{path}: broken or cut short ({error}); fetch it again") from None
