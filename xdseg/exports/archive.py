"""The zip for a test server: written under a hidden name, read back and checked, and only then put in its place."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image

from xdseg.errors import BadInput
from xdseg.evaluation.predictions import FAULTS, READABLE, Predictions, encode_png
from xdseg.exports.contract import INVALID, Folder, Server
from xdseg.exports.names import expected_names
from xdseg.files import temporary

CERTAIN = 65535  # confidence 1 as 16 bits
MODES = {"classes": "L", "invalid": "L", "confidence": "I;16"}  # as Pillow reads 8 and 16 bits of grey


@dataclass(frozen=True)
class Exported:
    """What was written."""

    images: int
    size: int  # of the zip, in bytes


def write_archive(
    server: Server, predictions: Path, out: Path, *, root: Path | None = None, invalid: Path | None = None
) -> Exported:
    """Write the zip that `server` wants at `out`; equal predictions give equal bytes.

    `predictions` (and `invalid`, those for an uncertainty-aware score, which may hold 255) are zips or folders of
    NAME.png class ids. With `root`, the extracted data set, its test images are the expected names; else the number
    of predictions and the form of their names are checked. Raises one BadInput with all faults; then nothing is
    written, and what `out` held stays.
    """
    _check_paths(server, predictions, out, invalid)
    names = expected_names(server, predictions, root)
    if invalid is not None and expected_names(server, invalid, root) != names:
        raise BadInput(f"{invalid}: other names than in {predictions}; predict the same images for both")
    with temporary(out) as unfinished:
        _write(unfinished, server, names, {"classes": predictions, "invalid": invalid or predictions})
        check_archive(unfinished, server, names)
        size = unfinished.stat().st_size
    return Exported(images=len(names), size=size)


def _check_paths(server: Server, predictions: Path, out: Path, invalid: Path | None) -> None:
    if out.suffix != ".zip":
        raise BadInput(f"{out}: a test server takes a zip; name the result NAME.zip")
    if out.exists() and any(
        path is not None and path.exists() and out.samefile(path) for path in (predictions, invalid)
    ):
        raise BadInput(f"{out}: is the predictions themselves; name another file for the result")
    if invalid is not None and all(folder.holds != "invalid" for folder in server.folders):
        raise BadInput(f"export: {server.name} takes no predictions with invalid pixels; leave --invalid out")


def _write(path: Path, server: Server, names: list[str], given: dict[str, Path]) -> None:
    faults: list[str] = []
    with ZipFile(path, "w") as archive, ExitStack() as opened:
        read = {holds: opened.enter_context(Predictions(source)) for holds, source in given.items()}
        for folder in server.folders:
            for name in names:
                try:
                    data = _encoded(server, folder, name, read)
                except BadInput as error:
                    faults.append(str(error))
                    continue
                member = ZipInfo(_member(server, folder, name))  # dated 1980-01-01
                member.external_attr = READABLE
                archive.writestr(member, data)
    if faults := list(dict.fromkeys(faults)):
        more = [f"and {len(faults) - FAULTS} more"] if len(faults) > FAULTS else []
        raise BadInput("\n".join([*faults[:FAULTS], *more]))


def _member(server: Server, folder: Folder, name: str) -> str:
    return f"{folder.name}/{name}{server.ending}" if folder.name else f"{name}{server.ending}"


def _encoded(server: Server, folder: Folder, name: str, read: dict[str, Predictions]) -> bytes:
    """A member's bytes. Raises BadInput for a prediction of another size, or with an id that is no class."""
    if folder.holds == "confidence":
        return _certain(server.shape)
    predictions = read[folder.holds]
    ids = predictions.read(name, shape=server.shape)
    table = _table(server, folder)
    foreign = _occurring(ids) - set(np.flatnonzero(table >= 0).tolist())
    if foreign:
        raise BadInput(
            f"{predictions.path}: {name}.png: id {min(foreign)} is none of the classes 0..{len(server.ids) - 1}; "
            "write the suite's class ids"
        )
    return encode_png(table[ids].astype(np.uint8))


def _table(server: Server, folder: Folder) -> np.ndarray:
    """(256,) int16: what is written for an id of the suite, -1 for an id that may not occur."""
    table = np.full(256, -1, np.int16)
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


def check_archive(path: Path, server: Server, names: list[str]) -> None:
    """Read a written zip back: its members, their sizes, bits and ids. Raises BadInput for what the server refuses."""
    with ZipFile(path) as archive:
        wanted = [_member(server, folder, name) for folder in server.folders for name in names]
        if archive.namelist() != wanted:
            raise BadInput(f"{path}: its members are not those that {server.title} expects; export again")
        for folder in server.folders:
            allowed = set(_table(server, folder)[_table(server, folder) >= 0].tolist())
            for name in names:
                member = _member(server, folder, name)
                if fault := _fault(archive.read(member), server, folder, allowed):
                    raise BadInput(f"{path}: {member}: {fault}; export again")


def _fault(data: bytes, server: Server, folder: Folder, allowed: set[int]) -> str | None:
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        if image.mode != MODES[folder.holds]:
            return f"an image of mode {image.mode}"
        if (image.height, image.width) != server.shape:
            return f"{image.height} x {image.width} pixels"
        if folder.holds != "confidence" and (foreign := _occurring(np.asarray(image)) - allowed):
            return f"id {min(foreign)}"
    return None
