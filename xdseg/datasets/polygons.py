"""Labels that are published as polygons, drawn as the tools of Cityscapes and AutoNUE draw them.

Objects cover those before them, points may lie outside the image, edges are inside (Pillow's filled polygon).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from xdseg.datasets.jsons import read_object
from xdseg.errors import BadInput

Point = tuple[float, float]  # x, y in pixels
LEAST = 2  # points that can be drawn
GROUP = "group"  # ending of a label's name for several instances drawn as one


def drawn_ids(path: Path, ids: Mapping[str, int], *, background: int) -> np.ndarray:
    """Raw ids (H, W) uint8 drawn from a JSON of polygons; `ids` by label name, negative ones are not drawn.

    Raises BadInput for a file that cannot be read and for a label that is not in `ids`.
    """
    size, objects = _annotation(path)
    label = Image.new("L", size, background)
    drawer = ImageDraw.Draw(label)
    for name, points in objects:
        if (raw := _raw_id(path, name, ids)) >= 0:
            drawer.polygon(points, fill=raw)
    return np.array(label)


def _annotation(path: Path) -> tuple[tuple[int, int], list[tuple[str, list[Point]]]]:
    """Width and height, and the objects that are not deleted: label and points."""
    contents = read_object(path)
    try:
        size = int(contents["imgWidth"]), int(contents["imgHeight"])
        objects = [(str(entry["label"]), _points(entry)) for entry in contents["objects"] if not entry.get("deleted")]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        fault = f"no annotation of polygons ({type(error).__name__} {error})"
        raise BadInput(f"{path}: {fault}; fetch it again") from None
    if min(size) < 1:
        raise BadInput(f"{path}: an image of {size[0]}x{size[1]} pixels; fetch it again")
    return size, objects


def _points(entry: Mapping[str, Any]) -> list[Point]:
    points = [(float(point[0]), float(point[1])) for point in entry["polygon"]]
    if len(points) < LEAST:
        raise ValueError(f"{entry['label']} of {len(points)} points")
    return points


def _raw_id(path: Path, name: str, ids: Mapping[str, int]) -> int:
    single = name if name in ids else name.removesuffix(GROUP)
    if single not in ids:
        raise BadInput(f"{path}: label {name!r} is none of the data set's; was it made for another?")
    return ids[single]
