"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): rendered streets; ids in the first channel of 16-bit PNGs.

Terrain, truck and train have ids but no pixels, which is why 16 classes are scored. Lane markings are ignored: the
literature does not count them as road.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, PublishedList, Split
from xdseg.datasets.decoding import read_first_of_16_bit
from xdseg.datasets.listing import paired

FOLDER = "RAND_CITYSCAPES"  # what the archive extracts to; it may also be the root itself
ROBUSTNET = "RobustNet's lists, drawn at random"
IDS = {
    0: "void",
    1: "sky",
    2: "building",
    3: "road",
    4: "sidewalk",
    5: "fence",
    6: "vegetation",
    7: "pole",
    8: "car",
    9: "sign",
    10: "pedestrian",
    11: "bicycle",
    12: "motorcycle",
    13: "parking-slot",
    14: "road-work",
    15: "light",
    16: "terrain",
    17: "rider",
    18: "truck",
    19: "bus",
    20: "train",
    21: "wall",
    22: "lane marking",
}
OTHER_NAMES = {"sign": "traffic sign", "pedestrian": "person", "light": "traffic light"}
IGNORED = (0, 13, 14, 22)
MAP = {raw: OTHER_NAMES.get(name, name) for raw, name in IDS.items() if raw not in IGNORED}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    labels = folder / "GT" / "LABELS"
    return paired(folder / "RGB", "*.png", image_ending=".png", labels=labels, label_ending=".png")


DATASET = Dataset(
    name="synthia",
    title="SYNTHIA-RAND-CITYSCAPES",
    space="cityscapes",
    splits={
        "full": Split(9400),
        "train": Split(
            6580,
            listed=PublishedList(6580, "88304d3f4231fe72acbeffd2f338bcfe0a0658be34a59f929a5bd14865922262", ROBUSTNET),
            within=("full",),
        ),
        "val": Split(
            2820,
            listed=PublishedList(2820, "f9a7ce776bd0f998b5b0cedc80d9af92cd484bec812ee3e2d13c95909c0621a4", ROBUSTNET),
            within=("full",),
        ),
    },
    files=_files,
    ids=IDS,
    maps={"cityscapes": MAP},
    download=Download("SYNTHIA_RAND_CITYSCAPES.rar", "the project's page, without account", "non-commercial"),
    layout="RAND_CITYSCAPES/RGB/*.png\nRAND_CITYSCAPES/GT/LABELS/*.png",
    shapes=frozenset({(760, 1280)}),
    read_label=read_first_of_16_bit,
    confirmed={
        "labels": "extracting with unrar is reported to leave some label files broken; such files are named",
        "channels": "16-bit RGB as others' code reads it; RGBA is read too",
    },
)
