"""CamVid (Brostow et al., 2009): frames of four drives in Cambridge, labelled in 32 colours.

The map to Cityscapes' classes is hand-written: a class of CamVid that mixes two of theirs is ignored (`Bicyclist`,
`SUVPickupTruck`, `Truck_Bus`, `VegetationMisc`), so rider, terrain, truck, bus and bicycle have no pixels.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xdseg.datasets.colours import coloured_ids
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired

CLASSES = {  # in the order of the publisher's label_colors.txt; an id is the position
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}
IDS = dict(enumerate(CLASSES))
COLOURS = {colour: raw for raw, colour in enumerate(CLASSES.values())}
TO_CITYSCAPES = {
    "Road": "road",
    "LaneMkgsDriv": "road",
    "LaneMkgsNonDriv": "road",
    "Sidewalk": "sidewalk",
    "Building": "building",
    "Wall": "wall",
    "Fence": "fence",
    "Column_Pole": "pole",
    "TrafficLight": "traffic light",
    "SignSymbol": "traffic sign",
    "Tree": "vegetation",
    "Sky": "sky",
    "Pedestrian": "person",
    "Child": "person",
    "Car": "car",
    "Train": "train",
    "MotorcycleScooter": "motorcycle",
}
MAP = {raw: TO_CITYSCAPES[name] for raw, name in IDS.items() if name in TO_CITYSCAPES}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(
        root / "701_StillsRaw_full",
        "*.png",
        image_ending=".png",
        labels=root / "LabeledApproved_full",
        label_ending="_L.png",
    )


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 of a label in CamVid's colours. Raises BadInput."""
    return coloured_ids(path, COLOURS)


DATASET = Dataset(
    name="camvid",
    title="CamVid",
    space="cityscapes",
    splits={"full": Split(701)},
    files=_files,
    ids=IDS,
    maps={"hand-written": MAP},
    download=Download(
        "701_StillsRaw_full.zip, LabeledApproved_full.zip", "the data set's page at Cambridge", "research"
    ),
    layout="701_StillsRaw_full/*.png\nLabeledApproved_full/*_L.png",
    shapes=frozenset({(720, 960)}),
    groups=r"^([^_]+)_",  # drive
    read_label=read_label,
    confirmed={
        "map": "hand-written; no table of the literature",
        "splits": "367/101/233 come from lists of SegNet's tutorial, which are no part of the data set",
    },
)
