"""Panels of a page: image and truth of each target, and what methods made of it, each with its errors.

Bounded twice: by the number of pictures and by their bytes.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xdseg.errors import BadInput
from xdseg.reporting.about import About, Panel, Strips
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.page_errors import error_map, stacked
from xdseg.reporting.text import ARROW

BUDGET = 700_000  # bytes of all panels of a page, encoded
PICTURES = 24  # of a page at most: a target's image, its truth, and each method's prediction above its errors
OF_TARGET = 2  # of these: image and truth
MOST = 3  # images of a target, if the budget allows
QUALITY = 88  # of a JPEG that is cut


@dataclass(frozen=True)
class Picture:
    """One strip, or a predicted one above its errors."""

    name: str  # image, truth, or a method and its source
    address: str  # data:
    width: int
    height: int
    has_errors: bool = False


@dataclass(frozen=True)
class Panels:
    """One target's strips."""

    target: str
    names: tuple[str, ...]  # of the images
    pictures: list[Picture]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(len(picture.address) for picture in self.pictures)


Shown = dict[str, dict[str, TableCell]]  # by target, by name of a picture


def panels(cells: Sequence[TableCell], about: About) -> tuple[list[Panels], int]:
    """Panels of the targets that have any, and how many predictions were left out of them.

    Of three images, two, one: the most with which all stay within the budget; then targets are left out.
    Raises BadInput naming the strip that cannot be read.
    """
    found: Shown = {}
    for cell in cells:
        if about.may_show and cell.key in about.panels and cell.target in about.strips:
            found.setdefault(cell.target, {}).setdefault(_name(cell), cell)  # of several seeds the first
    shown = _within(dict(sorted(found.items())))
    made: list[Panels] = []
    for images in range(MOST, 0, -1):
        made = [_of_target(own, about, images) for own in shown.values()]
        if sum(part.size for part in made) <= BUDGET:
            break
    while sum(part.size for part in made) > BUDGET:
        made.pop()
    left = sum(len(own) for own in found.values()) - sum(len(part.pictures) - OF_TARGET for part in made)
    return made, left


def _within(found: Shown) -> Shown:
    """As many pictures as a page may have: fewer sources of a method, else fewer targets, else fewer methods.

    Methods are compared on equal images, so that each of them is kept as long as there are other things to leave out.
    """
    if _count(found) > PICTURES:
        found = {target: _one_source(own) for target, own in found.items()}
    while _count(found) > PICTURES and len(found) > 1:
        found.popitem()
    return {target: dict(list(own.items())[: PICTURES - OF_TARGET]) for target, own in found.items()}


def _count(found: Shown) -> int:
    return sum(OF_TARGET + len(own) for own in found.values())


def _one_source(own: dict[str, TableCell]) -> dict[str, TableCell]:
    first: dict[str, str] = {}
    for name, cell in own.items():
        first.setdefault(cell.method, name)
    return {name: own[name] for name in first.values()}


def _of_target(shown: dict[str, TableCell], about: About, images: int) -> Panels:
    cells = list(shown.values())
    first, strips = about.panels[cells[0].key], about.strips[cells[0].target]
    width = sum(first.widths[:images])
    pictures = [_picture("image", strips.images, width), _picture("truth", strips.truth, width)]
    pictures += [_predicted(name, cell, about.panels[cell.key], strips, width) for name, cell in shown.items()]
    return Panels(cells[0].target, first.names[:images], pictures)


def _name(cell: TableCell) -> str:
    """An oracle has learnt from the target, whatever the pair's source."""
    return cell.method if cell.setting == "oracle" else f"{cell.method}, {cell.source} {ARROW}"


def _picture(name: str, path: Path, width: int) -> Picture:
    """A strip cut to its first images; whole ones keep their bytes."""
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    contents, image = _read(path)
    if width < image.width:
        file = BytesIO()
        image = image.crop((0, 0, width, image.height))
        image.save(file, format=kind, quality=QUALITY, optimize=True)
        contents = file.getvalue()
    return Picture(name, _address(contents, kind), image.width, image.height)


def _predicted(name: str, cell: TableCell, panel: Panel, strips: Strips, width: int) -> Picture:
    """A predicted strip, cut to its first images, above its errors."""
    predicted, colours = _ids(panel.path, width)
    truth, _ = _ids(strips.truth, width)
    if predicted.shape != truth.shape:
        raise BadInput(f"{panel.path}: of another size than {strips.truth}; delete both")
    errors = error_map(predicted, truth, colours, **_scored(cell))
    image, options = stacked(colours, errors)
    file = BytesIO()
    image.save(file, format="png", optimize=True, **options)
    return Picture(name, _address(file.getvalue(), "png"), image.width, image.height, has_errors=True)


def _scored(cell: TableCell) -> dict[str, Any]:
    """What of the truth the cell's score counts, as class ids; all of it if no record says so."""
    if not cell.record:
        return {}
    kept = {*cell.record["scores"]["kept"]}
    scoring = cell.record["protocol"].get("scoring") or {}
    ids = {number for number, name in enumerate(cell.record["classes"]) if name in kept}
    return {"scored": ids, "counted": scoring.get("outside") == "count"}


def _ids(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Class ids (H, W) and colours (H, W, 3) of a strip's first images."""
    _, image = _read(path)
    if image.mode not in ("P", "L"):
        raise BadInput(f"{path}: not a panel of class ids but {image.mode}; delete it")
    return np.asarray(image)[:, :width], np.asarray(image.convert("RGB"))[:, :width]


def _read(path: Path) -> tuple[bytes, Image.Image]:
    try:
        contents = path.read_bytes()
        image = Image.open(BytesIO(contents))
        image.load()
    except OSError as error:
        raise BadInput(f"{path}: not a readable panel ({error}); delete it") from None
    return contents, image


def _address(contents: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(contents).decode()}"
