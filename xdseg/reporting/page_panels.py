"""Panels of a page: image, truth and predictions, one pair below the other, within a budget of bytes."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from xdseg.errors import BadInput
from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell

BUDGET = 700_000  # bytes of all panels of a page, encoded
MOST = 3  # images of a pair, if the budget allows
QUALITY = 88  # of a JPEG that is cut


@dataclass(frozen=True)
class Picture:
    """One strip."""

    name: str  # image, truth, or a method
    address: str  # data:
    width: int
    height: int


@dataclass(frozen=True)
class Panels:
    """One pair's strips."""

    source: str
    target: str
    names: tuple[str, ...]  # of the images
    pictures: list[Picture]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(len(picture.address) for picture in self.pictures)


def panels(cells: Sequence[TableCell], about: About) -> tuple[list[Panels], int]:
    """Panels of the pairs that have any, and how many pairs were left out for the page's size.

    Of three images, two, one: the most with which all pairs stay within the budget; then pairs are left out.
    """
    by_pair: dict[tuple[str, str], list[TableCell]] = {}
    for cell in cells:
        if about.may_show and cell.key in about.panels and cell.target in about.strips:
            by_pair.setdefault(cell.pair, []).append(cell)
    ordered = sorted(by_pair.items(), key=lambda item: item[0][::-1])
    for images in range(MOST, 0, -1):
        made = [_of_pair(own, about, images) for _, own in ordered]
        if sum(part.size for part in made) <= BUDGET:
            return made, 0
    while made and sum(part.size for part in made) > BUDGET:
        made.pop()
    return made, len(ordered) - len(made)


def _of_pair(cells: list[TableCell], about: About, images: int) -> Panels:
    first, strips = about.panels[cells[0].key], about.strips[cells[0].target]
    width = sum(first.widths[:images])
    pictures = [_picture("image", strips.images, width), _picture("truth", strips.truth, width)]
    for cell in {cell.method: cell for cell in reversed(cells)}.values():  # of several seeds the first
        pictures.insert(2, _picture(cell.method, about.panels[cell.key].path, width))
    return Panels(cells[0].source, cells[0].target, first.names[:images], pictures)


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
