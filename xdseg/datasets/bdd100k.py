"""BDD100K (Yu et al., CVPR 2020), the 10,000 images with semantic masks, which hold train ids.

Two layouts are about: `images/10k` of the portal, and `seg` of the older archive.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.cityscapes import TRAIN_IDS, TRAIN_MAP
from xdseg.datasets.contract import Dataset, Download, Item, PublishedList, Split
from xdseg.datasets.listing import paired
from xdseg.errors import BadInput

# folders of images and labels, and what follows the name of a label
PORTAL = ("images/10k", "labels/sem_seg/masks", ".png")
OLDER = ("seg/images", "seg/labels", "_train_id.png")


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    images, labels, ending = _layout(root)
    return paired(
        root / images / split,
        "*.jpg",
        image_ending=".jpg",
        labels=root / labels / split if split != "test" else None,
        label_ending=ending,
    )


def _layout(root: Path) -> tuple[str, str, str]:
    there = [layout for layout in (PORTAL, OLDER) if (root / layout[0]).is_dir()]
    if not there:
        raise BadInput(f"{root}: neither {PORTAL[0]} nor {OLDER[0]} is there; extract the data set, or mend its root")
    if len(there) > 1:
        raise BadInput(f"{root}: both {PORTAL[0]} and {OLDER[0]} are there; keep one of the two layouts")
    return there[0]


DATASET = Dataset(
    name="bdd100k",
    title="BDD100K",
    space="cityscapes",
    splits={
        "train": Split(7000),
        "val": Split(1000),
        "test": Split(2000, labelled=False),
        "night": Split(
            87,
            listed=PublishedList(
                87,
                "87302425eb0722d0b25b54e37c69f0056a331b585ac2528422d8a197b6f35c2d",
                "Refign's images_trainval_night_correct_filenames.txt, after MGCDA",
            ),
            within=("train", "val"),
        ),
    },
    files=_files,
    ids=TRAIN_IDS,
    maps={"cityscapes": TRAIN_MAP},
    download=Download(
        "10K Images and Segmentation (bdd100k_sem_seg_labels_trainval.zip); or the older bdd100k_seg.zip",
        "the data set's portal, after registration, or its mirror at ETH Zurich",
        "own licence, see the portal",
    ),
    layout="images/10k/{train,val,test}/*.jpg\nlabels/sem_seg/masks/{train,val}/*.png\n"
    "or, older: seg/images/{train,val,test}/*.jpg\nseg/labels/{train,val}/*_train_id.png",
    shapes=frozenset({(720, 1280)}),
    confirmed={"licence": "its wording is unconfirmed"},
)
