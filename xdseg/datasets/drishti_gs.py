"""Drishti-GS1 (Sivaswamy et al., 2014): disc and cup, as shares of several experts who marked a pixel.

Disc and cup are where at least half of the experts saw them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.medical import FUNDUS, disc_and_cup_ids

FOLDERS = {"train": ("Training", "GT"), "test": ("Test", "Test_GT")}
HALF_OF_EXPERTS = 127  # of 255; 127.5 may have been rounded down
DISC_ENDING, CUP_ENDING = "_ODsegSoftmap.png", "_cupsegSoftmap.png"


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    folder, labels = FOLDERS[split]
    for path in found(root / folder / "Images", "**/drishtiGS_*.png"):
        name = path.stem
        yield Item(name, path, root / folder / labels / name / "SoftMap" / f"{name}{DISC_ENDING}")


def cup_of(disc: Path) -> tuple[Path]:
    """The cup's map, beside the disc's."""
    return (disc.with_name(disc.name.removesuffix(DISC_ENDING) + CUP_ENDING),)


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 from the disc's map and the cup's beside it. Raises BadInput."""
    return disc_and_cup_ids(path, *cup_of(path), at_least=HALF_OF_EXPERTS)


DATASET = Dataset(
    name="drishti_gs",
    title="Drishti-GS1",
    space="fundus",
    splits={"train": Split(50), "test": Split(51)},
    files=_files,
    ids=FUNDUS,
    maps={"fundus": FUNDUS},
    download=Download("Drishti-GS1_files", "the project's page at IIIT Hyderabad", "research, registration needed"),
    layout="{Training,Test}/Images/drishtiGS_*.png\n"
    "{Training/GT,Test/Test_GT}/drishtiGS_*/SoftMap/*_{ODsegSoftmap,cupsegSoftmap}.png\n"
    "(the root is the folder that holds Training and Test)",
    read_label=read_label,
    beside=cup_of,
    confirmed={
        "soft maps": "taken for 255 times the share of experts, unconfirmed; others ask for all of them, or for one",
        "shapes": "about 1760x2047, they vary; not checked",
    },
)
