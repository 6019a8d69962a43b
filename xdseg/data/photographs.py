"""Images as people have them: found in folders, turned upright, and what reading them changes said in words."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from xdseg.data.folder import IMAGE_ENDINGS
from xdseg.data.pixels import BIT_DEPTH, BITS, PNG_HEADER, read_image
from xdseg.errors import BadInput

TRANSPOSE = Image.Transpose
UPRIGHT = {  # by the Orientation that EXIF holds
    2: TRANSPOSE.FLIP_LEFT_RIGHT,
    3: TRANSPOSE.ROTATE_180,
    4: TRANSPOSE.FLIP_TOP_BOTTOM,
    5: TRANSPOSE.TRANSPOSE,
    6: TRANSPOSE.ROTATE_270,
    7: TRANSPOSE.TRANSVERSE,
    8: TRANSPOSE.ROTATE_90,
}
CONVERTED = {
    "L": "grey, repeated to three channels",
    "1": "black and white, repeated to three channels",
    "P": "palette, converted to RGB",
    "LA": "grey, repeated to three channels; transparency is dropped",
    "RGBA": "transparency is dropped",
    "CMYK": "CMYK, converted to RGB",
}


def find_images(place: Path, *, skip: Callable[[Path], bool] = lambda folder: False) -> tuple[dict[str, Path], int]:
    """Images of a folder and of those in it, by the name that results take, and how many other files lie there.

    The name is the path below `place` without ending, or with it where two would be the same. Hidden files, and
    folders that are hidden or that `skip` names, are passed over. A single file is taken too. Raises BadInput.
    """
    if not place.exists():
        raise BadInput(f"{place}: no such folder or image")
    files = [Path(place.name)] if place.is_file() else sorted(_files(place, skip))
    images = [path for path in files if path.suffix.lower() in IMAGE_ENDINGS]
    if not images:
        raise BadInput(f"{place}: no image; they end in {', '.join(IMAGE_ENDINGS)}")
    root = place.parent if place.is_file() else place
    times = Counter(path.with_suffix("") for path in images)
    found: dict[str, Path] = {}
    for path in images:
        name = (path if times[path.with_suffix("")] > 1 else path.with_suffix("")).as_posix()
        if name in found:
            raise BadInput(f"{root / path}: its result would be {name}.png, as that of {found[name]}; rename one")
        found[name] = root / path
    return found, len(files) - len(images)


def _files(folder: Path, skip: Callable[[Path], bool]) -> Iterator[Path]:
    """Paths below `folder` of what is not hidden."""
    for parent, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".") and not skip(Path(parent, name))]
        yield from (Path(parent, name).relative_to(folder) for name in names if not name.startswith("."))


def read_upright(path: Path) -> np.ndarray:
    """RGB image (H, W, 3) uint8 as viewers show it: turned as its EXIF says. Raises BadInput as `read_image` does."""
    pixels = read_image(path)
    turn = UPRIGHT.get(_orientation(path))
    return pixels if turn is None else np.array(Image.fromarray(pixels).transpose(turn))


def _orientation(path: Path) -> int:
    with Image.open(path) as image:
        # Pillow turns TIFF by itself while it decodes
        return 1 if image.format == "TIFF" else image.getexif().get(Base.Orientation, 1)


def remarks(path: Path) -> list[str]:
    """What reading an image changes about it, from its header; empty for an upright RGB image of 8 bits."""
    with Image.open(path) as image:
        said = [CONVERTED[image.mode]] if image.mode in CONVERTED else []
        if image.getexif().get(Base.Orientation, 1) in UPRIGHT:
            said.append("turned upright, as its EXIF says")
        if _deep(path, image):
            said.append("more than 8 bits a channel, of which 8 are kept")
        if image.format in ("TIFF", "WEBP", "PNG") and getattr(image, "n_frames", 1) > 1:
            said.append("several frames, of which the first is taken")
    return said


def _deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(PNG_HEADER)[BIT_DEPTH] > BITS
    depths = image.tag_v2.get(Base.BitsPerSample, (BITS,)) if image.format == "TIFF" else (BITS,)
    return max(depths) > BITS
