"""Labels in COCO's panoptic format: an image whose colours are segments, and one JSON of the segments' categories."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from xdseg.data.pixels import IDS, read_image
from xdseg.datasets.colours import COLOURS, codes
from xdseg.datasets.jsons import read_object
from xdseg.errors import BadInput

UNLISTED = -1
VOID = 0  # id of pixels whose segment is not listed, as WildDash's own pano2sem.py has it


def listing_of(path: Path) -> tuple[Path]:
    """The JSON of an image's segments: it lies beside the image's folder and bears that folder's name."""
    return (path.parent.with_suffix(".json"),)


def panoptic_ids(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 of one image of segments.

    Raises BadInput if image or JSON cannot be read, or do not belong together.
    """
    (listing,) = listing_of(path)
    segments = _segments(listing, _time(listing)).get(path.name)
    if segments is None:
        raise BadInput(f"{listing}: no segments of {path.name}; image and JSON are of two releases")
    categories = np.full(COLOURS, UNLISTED, np.int16)
    categories[list(segments)] = list(segments.values())
    raw = categories[codes(read_image(path))]
    if (raw == UNLISTED).all():
        raise BadInput(f"{path}: none of its segments is in {listing.name}; image and JSON are of two releases")
    return np.where(raw == UNLISTED, VOID, raw).astype(np.uint8)


@lru_cache(maxsize=2)
def _segments(listing: Path, time: int) -> dict[str, dict[int, int]]:
    """Category by segment, by file name; `time` is in the key only, so that a changed file is read again."""
    contents = read_object(listing)
    try:
        found = {
            str(annotation["file_name"]): {int(entry["id"]): int(entry["category_id"]) for entry in entries}
            for annotation in contents["annotations"]
            for entries in [annotation["segments_info"]]
        }
    except (KeyError, TypeError, ValueError) as error:
        fault = f"no list of panoptic segments ({type(error).__name__} {error})"
        raise BadInput(f"{listing}: {fault}; fetch it again") from None
    if not all(_fits(segments) for segments in found.values()):
        raise BadInput(f"{listing}: a segment is no colour, or a category no id up to {IDS - 1}; fetch it again")
    return found


def _fits(segments: dict[int, int]) -> bool:
    return all(0 <= segment < COLOURS and 0 <= category < IDS for segment, category in segments.items())


def _time(listing: Path) -> int:
    try:
        return listing.stat().st_mtime_ns
    except OSError:
        raise BadInput(f"{listing}: no such file") from None
