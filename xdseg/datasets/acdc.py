"""ACDC (Sakaridis et al., ICCV 2021): fog, night, rain and snow; splits in `_ref` show the same places in fair weather.

Labels of the test split are kept by the publisher's server.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.cityscapes import TRAIN_IDS, TRAIN_MAP
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired

CONDITIONS = ("fog", "night", "rain", "snow")
TRAIN = dict.fromkeys(CONDITIONS, 400)
VAL = dict.fromkeys(CONDITIONS, 100) | {"night": 106}
TEST = dict.fromkeys(CONDITIONS, 500)
LABELLED = ("train", "val")


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    parts = (part,) if part else CONDITIONS
    items = (item for condition in parts for item in _of_condition(root, split, condition))
    return iter(sorted(items, key=lambda item: item.name))


def _of_condition(root: Path, split: str, condition: str) -> Iterator[Item]:
    reference = split.endswith("_ref")
    return paired(
        root / "rgb_anon" / condition / split,
        "*/*_rgb_ref_anon.png" if reference else "*/*_rgb_anon.png",
        # but for its ending, a reference image bears the name of its counterpart; a part is kept to tell them apart
        image_ending="_anon.png" if reference else "_rgb_anon.png",
        labels=root / "gt" / condition / split if split in LABELLED else None,
        label_ending="_gt_labelTrainIds.png",
    )


DATASET = Dataset(
    name="acdc",
    title="ACDC",
    space="cityscapes",
    splits={
        "train": Split(TRAIN),
        "val": Split(VAL),
        "test": Split(TEST, labelled=False),
        "train_ref": Split(TRAIN, labelled=False),
        "val_ref": Split(VAL, labelled=False),
        "test_ref": Split(TEST, labelled=False),
    },
    files=_files,
    ids=TRAIN_IDS,
    maps={"cityscapes": TRAIN_MAP},
    download=Download(
        "rgb_anon_trainvaltest.zip, gt_trainval.zip",
        "the data set's page, after registration",
        "own licence, see the page",
    ),
    layout="rgb_anon/{fog,night,rain,snow}/{train,val,test}/*/*_rgb_anon.png\n"
    "rgb_anon/{fog,night,rain,snow}/{train,val,test}_ref/*/*_rgb_ref_anon.png\n"
    "gt/{fog,night,rain,snow}/{train,val}/*/*_gt_labelTrainIds.png",
    shapes=frozenset({(1080, 1920)}),
    parts=CONDITIONS,
    groups=r"^G(?:OPR|P\d\d)(\d{4})_",  # recording, as GOPR0122 and its further chapters GP01…
    confirmed={
        "licence": "its wording is unconfirmed",
        "reference images": "their sum, 4006, is stated; that each split and condition has as many as its counterpart "
        "is unconfirmed",
    },
)
