"""Dark Zurich (Sakaridis et al., ICCV 2019): the same routes at night, at twilight and by day.

Only the 50 night images of `val` have labels here; those of `test` are kept by the publisher's server.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.cityscapes import TRAIN_IDS, TRAIN_MAP
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired

FOLDERS = {
    "train": "train/night",
    "train_twilight": "train/twilight",
    "train_day": "train/day",
    "val": "val/night",
    "val_ref": "val_ref/day",
    "test": "test/night",
    "test_ref": "test_ref/day",
}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(
        root / "rgb_anon" / FOLDERS[split],
        "*/*_rgb_anon.png",
        image_ending="_rgb_anon.png",
        labels=root / "gt" / FOLDERS[split] if split == "val" else None,
        label_ending="_gt_labelTrainIds.png",
    )


DATASET = Dataset(
    name="dark_zurich",
    title="Dark Zurich",
    space="cityscapes",
    splits={
        "train": Split(2416, labelled=False),
        "train_twilight": Split(2920, labelled=False),
        "train_day": Split(3041, labelled=False),
        "val": Split(50),
        "val_ref": Split(labelled=False),
        "test": Split(151, labelled=False),
        "test_ref": Split(labelled=False),
    },
    files=_files,
    ids=TRAIN_IDS,
    maps={"cityscapes": TRAIN_MAP},
    download=Download(
        "Dark_Zurich_train_anon.zip, Dark_Zurich_val_anon.zip, Dark_Zurich_test_anon_withoutGt.zip, into one root",
        "the project's page, without account",
        "non-commercial",
    ),
    layout="rgb_anon/train/{night,twilight,day}/*/*_rgb_anon.png\nrgb_anon/{val,test}/night/*/*_rgb_anon.png\n"
    "rgb_anon/{val,test}_ref/day/*/*_rgb_anon.png\ngt/val/night/*/*_gt_labelTrainIds.png",
    shapes=frozenset({(1080, 1920)}),
    groups=r"^G(?:OPR|P\d\d)(\d{4})_",  # recording, as GOPR0356 and its further chapters GP01…
    confirmed={
        "train_twilight": "2920 images is unconfirmed",
        "test_ref": "how its files are named is unconfirmed; those that end in _rgb_anon.png are read",
    },
)
