"""Nighttime Driving (Dai and Van Gool, ITSC 2018): 50 test images at night with coarse labels, in train ids."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.cityscapes import TRAIN_IDS, TRAIN_MAP
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(
        root / "leftImg8bit" / "test" / "night",
        "*_leftImg8bit.png",
        image_ending="_leftImg8bit.png",
        labels=root / "gtCoarse_daytime_trainvaltest" / "test" / "night",
        label_ending="_gtCoarse_labelTrainIds.png",
    )


DATASET = Dataset(
    name="nighttime_driving",
    title="Nighttime Driving",
    space="cityscapes",
    splits={"test": Split(50)},
    files=_files,
    ids=TRAIN_IDS,
    maps={"cityscapes": TRAIN_MAP},
    download=Download("NighttimeDrivingTest.zip", "the project's page, without account", "own licence, see the page"),
    layout="leftImg8bit/test/night/*_leftImg8bit.png\n"
    "gtCoarse_daytime_trainvaltest/test/night/*_gtCoarse_labelTrainIds.png",
    shapes=frozenset({(1080, 1920)}),
    confirmed={"licence": "its wording is unconfirmed"},
)
