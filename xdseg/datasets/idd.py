"""IDD (Varma et al., WACV 2019): unstructured traffic in India; labels are drawn from polygons.

Ids and names are those of AutoNUE's anue_labels.py, the map is its csTrainId: autorickshaw, curb and billboard are
ignored, and `non-drivable fallback` counts as terrain.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.polygons import drawn_ids

ENDINGS = ("_leftImg8bit.png", "_leftImg8bit.jpg")  # of part I and of part II
IDS = {
    0: "road",
    1: "parking",
    2: "drivable fallback",
    3: "sidewalk",
    4: "rail track",
    5: "non-drivable fallback",
    6: "person",
    7: "animal",
    8: "rider",
    9: "motorcycle",
    10: "bicycle",
    11: "autorickshaw",
    12: "car",
    13: "truck",
    14: "bus",
    15: "caravan",
    16: "trailer",
    17: "train",
    18: "vehicle fallback",
    19: "curb",
    20: "wall",
    21: "fence",
    22: "guard rail",
    23: "billboard",
    24: "traffic sign",
    25: "traffic light",
    26: "pole",
    27: "polegroup",
    28: "obs-str-bar-fallback",
    29: "building",
    30: "bridge",
    31: "tunnel",
    32: "vegetation",
    33: "sky",
    34: "fallback background",
    35: "unlabeled",
    36: "ego vehicle",
    37: "rectification border",
    38: "out of roi",
    39: "license plate",
}
BY_NAME = {name: raw for raw, name in IDS.items()}
AS_NAMED = (0, 3, 6, 8, 9, 10, 12, 13, 14, 17, 20, 21, 24, 25, 26, 29, 32, 33)  # classes of Cityscapes by their names
MAP = {raw: IDS[raw] for raw in AS_NAMED} | {BY_NAME["non-drivable fallback"]: "terrain"}


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    return sorted(_items(root / "leftImg8bit" / split, root / "gtFine" / split, split), key=lambda item: item.name)


def _items(images: Path, labels: Path, split: str) -> Iterator[Item]:
    for ending in ENDINGS:
        for path in found(images, f"*/*{ending}"):
            drive, frame = path.parent.name, path.name.removesuffix(ending)
            label = labels / drive / f"{frame}_gtFine_polygons.json"
            yield Item(f"{drive}_{frame}", path, label if split != "test" else None)


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 drawn from a file of polygons. Raises BadInput."""
    return drawn_ids(path, BY_NAME, background=BY_NAME["unlabeled"])


DATASET = Dataset(
    name="idd",
    title="IDD Segmentation",
    space="cityscapes",
    splits={"train": Split(6993), "val": Split(981), "test": Split(2029, labelled=False)},
    files=_files,
    ids=IDS,
    maps={"cityscapes": MAP},
    download=Download("IDD Segmentation (part I)", "the data set's site, after registration", "registration needed"),
    layout="leftImg8bit/{train,val,test}/DRIVE/*_leftImg8bit.png\ngtFine/{train,val}/DRIVE/*_gtFine_polygons.json",
    groups=r"^(\d+)_",  # drive
    read_label=read_label,
    slow_labels=True,
    confirmed={
        "counts": "of part I, unconfirmed",
        "image files": "part I is PNG; JPEG, as part II is said to have, is read too, unconfirmed",
        "shapes": "1080x1920 and 720 lines occur, unconfirmed; not checked",
        "ids": "names and ids as in AutoNUE's anue_labels.py",
    },
)
