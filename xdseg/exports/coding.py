"""One file of a test server's zip: what it holds for a prediction, and whether bytes are such a file."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from xdseg.data.pixels import IDS
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import Predictions, encode_png
from xdseg.exports.contract import INVALID, Folder, Server

CERTAIN = 65535  # confidence 1 as 16 bits
MODES = {"classes": "L", "invalid": "L", "confidence": "I;16"}  # as Pillow calls 8 and 16 bits of grey


def encoded(server: Server, folder: Folder, name: str, predictions: Predictions) -> bytes:
    """A member's bytes. Raises BadInput for a prediction of another size, or with an id that is no class."""
    if folder.holds == "confidence":
        return _certain(server.shape)
    ids = predictions.read(name, shape=server.shape)
    table = _table(server, folder)
    foreign = _occurring(ids) - set(np.flatnonzero(table >= 0).tolist())
    if foreign:
        raise BadInput(
            f"{predictions.path}: {name}.png: id {min(foreign)} is none of the classes 0..{len(server.ids) - 1}; "
            "write the suite's class ids"
        )
    return encode_png(table[ids].astype(np.uint8))


def fault_of(data: bytes, server: Server, folder: Folder) -> str | None:
    """Why the server would refuse a file of `folder`, or None."""
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        if image.mode != MODES[folder.holds]:
            return f"an image of mode {image.mode}"
        if (image.height, image.width) != server.shape:
            return f"{image.height} x {image.width} pixels"
        if folder.holds == "confidence":
            return None
        table = _table(server, folder)
        foreign = _occurring(np.asarray(image)) - set(table[table >= 0].tolist())
        return f"id {min(foreign)}" if foreign else None


def _table(server: Server, folder: Folder) -> np.ndarray:
    """(256,) int16: what is written for an id of the suite, -1 for an id that may not occur."""
    table = np.full(IDS, -1, np.int16)
    table[: len(server.ids)] = server.ids
    if folder.holds == "invalid":
        table[INVALID] = INVALID
    return table


def _occurring(ids: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.bincount(ids.ravel())).tolist())


@cache
def _certain(shape: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.fromarray(np.full(shape, CERTAIN, np.uint16)).save(file, format="PNG")
    return file.getvalue()
