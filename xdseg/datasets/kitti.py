"""KITTI semantic segmentation (Alhaija et al., IJCV 2018): Karlsruhe, in Cityscapes' raw ids."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from xdseg.datasets import cityscapes
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired

FOLDERS = {"train": "training", "test": "testing"}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    folder = root / FOLDERS[split]
    labels = folder / "semantic" if split == "train" else None
    for item in paired(folder / "image_2", "*_10.png", image_ending=".png", labels=labels, label_ending=".png"):
        yield replace(item, name=f"{folder.name}_{item.name}")  # both splits count from 000000_10


DATASET = Dataset(
    name="kitti",
    title="KITTI semantics",
    space="cityscapes",
    splits={"train": Split(200), "test": Split(200, labelled=False)},
    files=_files,
    ids=cityscapes.IDS,
    maps={"cityscapes": cityscapes.MAP},
    download=Download("data_semantics.zip", "the KITTI Vision Benchmark Suite", "CC BY-NC-SA, account needed"),
    layout="training/image_2/*_10.png\ntraining/semantic/*_10.png\ntesting/image_2/*_10.png",
    confirmed={
        "ids": "Cityscapes' raw ids, unconfirmed",
        "shapes": "about 375x1242, they vary; not checked",
    },
)
