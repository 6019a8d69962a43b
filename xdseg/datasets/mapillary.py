"""Mapillary Vistas (Neuhold et al., ICCV 2017) with its 66 labels of v1.2; v2.0 numbers them anew.

Two tables to Cityscapes' classes are in circulation, and papers seldom say which: numbers under one are not numbers
under the other, so the table is part of what a result is of.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired, there
from xdseg.errors import BadInput

# names as the publisher's config has them under `readable`; the position is the id
NAMES = (
    *("Bird", "Ground Animal", "Curb", "Fence", "Guard Rail", "Barrier", "Wall", "Bike Lane", "Crosswalk - Plain"),
    *("Curb Cut", "Parking", "Pedestrian Area", "Rail Track", "Road", "Service Lane", "Sidewalk", "Bridge"),
    *("Building", "Tunnel", "Person", "Bicyclist", "Motorcyclist", "Other Rider", "Lane Marking - Crosswalk"),
    *("Lane Marking - General", "Mountain", "Sand", "Sky", "Snow", "Terrain", "Vegetation", "Water", "Banner"),
    *("Bench", "Bike Rack", "Billboard", "Catch Basin", "CCTV Camera", "Fire Hydrant", "Junction Box", "Mailbox"),
    *("Manhole", "Phone Booth", "Pothole", "Street Light", "Pole", "Traffic Sign Frame", "Utility Pole"),
    *("Traffic Light", "Traffic Sign (Back)", "Traffic Sign (Front)", "Trash Can", "Bicycle", "Boat", "Bus", "Car"),
    *("Caravan", "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck", "Wheeled Slow", "Car Mount"),
    *("Ego Vehicle", "Unlabeled"),
)
IDS = dict(enumerate(NAMES))
SHARED = {
    **{2: "sidewalk", 3: "fence", 6: "wall", 13: "road", 15: "sidewalk", 17: "building", 19: "person"},
    **{20: "rider", 21: "rider", 22: "rider", 24: "road", 27: "sky", 29: "terrain", 30: "vegetation"},
    **{45: "pole", 47: "pole", 48: "traffic light", 50: "traffic sign", 52: "bicycle", 54: "bus", 55: "car"},
    **{57: "motorcycle", 58: "train", 61: "truck"},
}
# RobustNet, SHADE, WildNet, HGFormer, HRDA for domain generalisation, CLOUDS
A = SHARED | {41: "road"}
# openseg, DDB, Rein; made by matching the names
B = SHARED | {
    **{7: "road", 8: "road", 10: "road", 14: "road", 23: "road", 9: "sidewalk", 11: "sidewalk", 44: "pole"},
    **{46: "traffic sign", 49: "traffic sign"},
}
FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
LABELS = ("v1.2/labels", "labels")  # in the archives from v2.0 on; in those of v1.1 and v1.2


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    folder = root / FOLDERS[split]
    labels = _labels(folder) if split != "test" else None
    return paired(folder / "images", "*.jpg", image_ending=".jpg", labels=labels, label_ending=".png")


def _labels(folder: Path) -> Path:
    there(folder / "images")  # a split that was not extracted at all is no deviation
    present = [folder / labels for labels in LABELS if (folder / labels).is_dir()]
    if not present:
        raise BadInput(f"{folder}: neither {' nor '.join(LABELS)} is there; extract the data set, or mend its root")
    if len(present) > 1:
        raise BadInput(f"{folder}: both {' and '.join(LABELS)} are there; keep those of one archive")
    return present[0]


DATASET = Dataset(
    name="mapillary",
    title="Mapillary Vistas",
    space="cityscapes",
    splits={"train": Split(18000), "val": Split(2000), "test": Split(5000, labelled=False)},
    files=_files,
    ids=IDS,
    maps={"mapillary-a": A, "mapillary-b": B},
    download=Download(
        "mapillary-vistas-dataset_public_v2.0.zip; or the archive of v1.1 or v1.2",
        "the publisher's data set page, after registration",
        "CC BY-NC-SA",
    ),
    layout="{training,validation,testing}/images/*.jpg\n{training,validation}/v1.2/labels/*.png\n"
    "or, before v2.0: {training,validation}/labels/*.png",
)
