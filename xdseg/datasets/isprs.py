"""What Potsdam and Vaihingen share: the colours of their labels, and tiles that are used through windows."""

from collections.abc import Iterable
from pathlib import Path

from xdseg.datasets.contract import Item
from xdseg.datasets.listing import found
from xdseg.datasets.windows import windowed

IDS = {
    0: "boundary",
    1: "impervious surface",
    2: "building",
    3: "low vegetation",
    4: "tree",
    5: "car",
    6: "clutter",
}
COLOURS = {
    (0, 0, 0): 0,
    (255, 255, 255): 1,
    (0, 0, 255): 2,
    (0, 255, 255): 3,
    (0, 255, 0): 4,
    (255, 255, 0): 5,
    (255, 0, 0): 6,
}
MAP = {raw: name for raw, name in IDS.items() if name != "boundary"}


def windows_of_tiles(
    images: Path, labels: Path, *, tiles: Iterable[str], before: str, image_ending: str, label_ending: str
) -> list[Item]:
    """Windows, by name, of the tiles of a split that are there; a tile's name stands between `before` and an ending."""
    present = {path.name for path in found(images, f"{before}*{image_ending}")}
    whole = [
        Item(tile, images / f"{before}{tile}{image_ending}", labels / f"{before}{tile}{label_ending}")
        for tile in tiles
        if f"{before}{tile}{image_ending}" in present
    ]
    return sorted((item for tile in whole for item in windowed(tile)), key=lambda item: item.name)
