"""Finding files below a data set's root."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Item
from xdseg.errors import BadInput, NotThere


def there(folder: Path) -> Path:
    """The folder. Raises NotThere if it is missing."""
    if not folder.is_dir():
        raise NotThere(f"{folder}: no such folder; extract the data set there, or mend its root")
    return folder


def found(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that fit a glob pattern, sorted by path. Raises NotThere if the folder is missing."""
    there(folder)
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))


def paired(
    images: Path, pattern: str, *, image_ending: str, labels: Path | None, label_ending: str = ""
) -> Iterator[Item]:
    """Images below a folder, each with the label of the same relative path but for the ending.

    An ending is what follows the name, as in `_leftImg8bit.png` and `_gtFine_labelIds.png`.
    """
    paths = found(images, pattern)
    if labels is not None and not labels.is_dir():
        raise BadInput(f"{labels}: no such folder, though {images} is there; extract the labels' archive too")
    for path in paths:
        name = path.name.removesuffix(image_ending)
        place = path.relative_to(images).with_name(name + label_ending)
        yield Item(name, path, labels / place if labels else None)
