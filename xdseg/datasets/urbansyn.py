"""UrbanSyn (Gómez et al., 2023): rendered streets, with train ids as grey values."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.cityscapes import TRAIN_IDS, TRAIN_MAP
from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.decoding import read_repeated_grey
from xdseg.datasets.listing import found

UNLABELLED = 19


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    for path in found(root / "rgb", "rgb_*.png"):
        yield Item(path.stem, path, root / "ss" / f"ss_{path.stem.removeprefix('rgb_')}.png")


DATASET = Dataset(
    name="urbansyn",
    title="UrbanSyn",
    space="cityscapes",
    splits={"full": Split(7539)},
    files=_files,
    ids=TRAIN_IDS | {UNLABELLED: "unlabelled"},
    maps={"cityscapes": TRAIN_MAP},
    download=Download("the folders rgb and ss", "UrbanSyn/UrbanSyn at Hugging Face, without account", "CC BY-SA 4.0"),
    layout="rgb/rgb_*.png\nss/ss_*.png",
    shapes=frozenset({(1024, 2048)}),
    read_label=read_repeated_grey,
    confirmed={
        "count": "7539 is unconfirmed; the publisher's page says more than 7500",
        "void": "unconfirmed: others' code takes 19 for unlabelled, the publisher's table names 0 to 18; 19 and 255 "
        "are both ignored",
        "channels": "unconfirmed: others' code reads files with the id repeated in several channels; these and one "
        "channel are both read",
    },
)
