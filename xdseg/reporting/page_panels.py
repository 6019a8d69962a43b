"""Panels of a page: image, truth and predictions of each target, one below the other, within a budget of bytes."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from xdseg.errors import BadInput
from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import ARROW

BUDGET = 700_000  # bytes of all panels of a page, encoded
MOST = 3  # images of a target, if the budget allows
QUALITY = 88  # of a JPEG that is cut


@dataclass(frozen=True)
class Picture:
    """One strip."""

    name: str  # image, truth, or a method and its source
    address: str  # data:
    width: int
    height: int


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


def panels(cells: Sequence[TableCell], about: About) -> tuple[list[Panels], int]:
    """Panels of the targets that have any, and how many targets were left out for the page's size.

    Of three images, two, one: the most with which all targets stay within the budget; then targets are left out.
    """
    by_target: dict[str, list[TableCell]] = {}
    for cell in cells:
        if about.may_show and cell.key in about.panels and cell.target in about.strips:
            by_target.setdefault(cell.target, []).append(cell)
    for images in range(MOST, 0, -1):
        made = [_of_target(by_target[target], about, images) for target in sorted(by_target)]
        if sum(part.size for part in made) <= BUDGET:
            return made, 0
    while sum(part.size for part in made) > BUDGET:
        made.pop()
    return made, len(by_target) - len(made)


def _of_target(cells: list[TableCell], about: About, images: int) -> Panels:
    first, strips = about.panels[cells[0].key], about.strips[cells[0].target]
    width = sum(first.widths[:images])
    shown = {_name(cell): cell for cell in reversed(cells)}  # of several seeds the first
    pictures = [_picture("image", strips.images, width), _picture("truth", strips.truth, width)]
    pictures += [_picture(name, about.panels[cell.key].path, width) for name, cell in reversed(shown.items())]
    return Panels(cells[0].target, first.names[:images], pictures)


def _name(cell: TableCell) -> str:
    """An oracle has learnt from the target, whatever the pair's source."""
    return cell.method if cell.setting == "oracle" else f"{cell.method}, {cell.source} {ARROW}"


def _picture(name: str, path: Path, width: int) -> Picture:
    """A strip cut to its first images; whole ones keep their bytes."""
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    try:
        contents = path.read_bytes()
        with Image.open(BytesIO(contents)) as image:
            if width < image.width:
                file = BytesIO()
                cut = image.crop((0, 0, width, image.height))
                cut.save(file, format=kind, quality=QUALITY, optimize=True)
                contents = file.getvalue()
            return Picture(name, f"data:image/{kind};base64,{b64encode(contents).decode()}", width, image.height)
    except OSError as error:
        raise BadInput(f"{path}: not a readable panel ({error}); delete it") from None
