"""REFUGE (Orlando et al., 2020): disc and cup of the eye's nerve; the splits are from two cameras."""

from pathlib import Path

import numpy as np

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.medical import BACKGROUND, CUP, DISC, FUNDUS, grey

UPPER_OF_CUP, UPPER_OF_DISC = 50, 200  # bins of BEAL (Wang et al., 2019); masks hold 0, 128 and 255
IMAGES = {
    "train": ("Training400/Glaucoma", "Training400/Non-Glaucoma"),
    "val": ("REFUGE-Validation400",),
    "test": ("Test400",),
}
MASKS = {
    "train": ("Annotation-Training400/Disc_Cup_Masks/Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma"),
    "val": ("REFUGE-Validation400-GT/Disc_Cup_Masks",),
    "test": ("REFUGE-Test-GT/Disc_Cup_Masks/G", "REFUGE-Test-GT/Disc_Cup_Masks/N"),
}


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    masks = {path.stem: path for folder in MASKS[split] for path in (root / folder).glob("*.bmp")}
    images = [path for folder in IMAGES[split] for path in found(root / folder, "*.jpg")]
    return [
        Item(path.stem, path, masks.get(path.stem, root / MASKS[split][0] / f"{path.stem}.bmp"))
        for path in sorted(images, key=lambda path: path.stem)
    ]


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8: 2 in the cup, 1 in the rest of the disc. Raises BadInput."""
    values = grey(path)
    return np.where(values <= UPPER_OF_CUP, CUP, np.where(values <= UPPER_OF_DISC, DISC, BACKGROUND)).astype(np.uint8)


DATASET = Dataset(
    name="refuge",
    title="REFUGE",
    space="fundus",
    splits={"train": Split(400), "val": Split(400), "test": Split(400)},
    files=_files,
    ids=FUNDUS,
    maps={"fundus": FUNDUS},
    download=Download(
        "REFUGE-Training400.zip, Annotation-Training400.zip, REFUGE-Validation400.zip, REFUGE-Validation400-GT.zip, "
        "REFUGE-Test400.zip, REFUGE-Test-GT.zip",
        "Grand Challenge, after registration",
        "research, account needed",
    ),
    layout="Training400/{Glaucoma,Non-Glaucoma}/*.jpg\n"
    "Annotation-Training400/Disc_Cup_Masks/{Glaucoma,Non-Glaucoma}/*.bmp\n"
    "REFUGE-Validation400/*.jpg\nREFUGE-Validation400-GT/Disc_Cup_Masks/*.bmp\n"
    "Test400/*.jpg\nREFUGE-Test-GT/Disc_Cup_Masks/{G,N}/*.bmp",
    shapes=frozenset({(2056, 2124), (1634, 1634)}),
    read_label=read_label,
    confirmed={
        "layout": "folders as most public code names them; archives differ in whether they hold one of their own"
    },
)
