"""Cityscapes (Cordts et al., CVPR 2016): 50 cities by day; raw ids in `labelIds` images, mapped on the fly."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired
from xdseg.datasets.spaces import CITYSCAPES

# names of raw ids as cityscapesScripts' labels.py has them; `license plate`, -1, is never drawn
IDS = {
    0: "unlabeled",
    1: "ego vehicle",
    2: "rectification border",
    3: "out of roi",
    4: "static",
    5: "dynamic",
    6: "ground",
    7: "road",
    8: "sidewalk",
    9: "parking",
    10: "rail track",
    11: "building",
    12: "wall",
    13: "fence",
    14: "guard rail",
    15: "bridge",
    16: "tunnel",
    17: "pole",
    18: "polegroup",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    29: "caravan",
    30: "trailer",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
MAP = {raw: IDS[raw] for raw in SCORED}  # raw id to class, in the order of the train ids
# of data sets whose label files hold train ids (`labelTrainIds`)
TRAIN_MAP = dict(enumerate(CITYSCAPES))
TRAIN_IDS = TRAIN_MAP | {255: "void"}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(
        root / "leftImg8bit" / split,
        "*/*_leftImg8bit.png",
        image_ending="_leftImg8bit.png",
        labels=root / "gtFine" / split if split != "test" else None,
        label_ending="_gtFine_labelIds.png",
    )


DATASET = Dataset(
    name="cityscapes",
    title="Cityscapes",
    space="cityscapes",
    splits={"train": Split(2975), "val": Split(500), "test": Split(1525, labelled=False)},
    files=_files,
    ids=IDS,
    maps={"cityscapes": MAP},
    download=Download(
        "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip",
        "cityscapes-dataset.com, after registration; or csDownload of cityscapesScripts (packages 3 and 1)",
        "non-commercial, account needed",
    ),
    layout="leftImg8bit/{train,val,test}/CITY/*_leftImg8bit.png\ngtFine/{train,val}/CITY/*_gtFine_labelIds.png",
    shapes=frozenset({(1024, 2048)}),
    groups=r"^([^_]+_\d+)_",  # city and sequence
)
