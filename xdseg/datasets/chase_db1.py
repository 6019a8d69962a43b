"""CHASE_DB1 (Owen et al., 2009): vessels in both eyes of 14 children, first annotator."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired
from xdseg.datasets.medical import VESSELS, vessel_ids

LAST_OF_TRAIN = "Image_10R"


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    for item in paired(root, "Image_*.jpg", image_ending=".jpg", labels=root, label_ending="_1stHO.png"):
        if split == "full" or (split == "train") == (item.name <= LAST_OF_TRAIN):
            yield item


DATASET = Dataset(
    name="chase_db1",
    title="CHASE_DB1",
    space="vessels",
    splits={"full": Split(28), "train": Split(20, part_of=("full",)), "val": Split(8, part_of=("full",))},
    files=_files,
    ids=VESSELS,
    maps={"vessels": VESSELS},
    download=Download("CHASEDB1.zip", "the data set's page at Kingston University", "open"),
    layout="Image_*.jpg\nImage_*_1stHO.png",
    shapes=frozenset({(960, 999)}),
    groups=r"^Image_(\d+)[LR]$",  # child; both eyes are in one split
    read_label=vessel_ids,
    confirmed={"splits": "mmsegmentation's first 20 and last 8; others take the last 20 for testing"},
)
