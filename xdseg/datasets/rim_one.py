"""RIM-ONE r3 (Fumero et al., 2015): disc and cup in stereo images, of which the left half is used and labelled.

Masks are the averages of two experts; the split is that of Maninis et al. (MICCAI 2016).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.medical import FUNDUS, HALF, disc_and_cup_ids
from xdseg.datasets.windows import size_of

FOLDERS = ("Glaucoma and suspects", "Healthy")
ENDINGS = (".png", ".tif")  # of masks, the likelier first
TEST = (  # eyes by group: glaucoma, healthy, suspect
    {f"G-{number}" for number in (2, *range(22, 32))}
    | {f"N-{number}" for number in (*range(1, 5), 17, 18, *range(20, 24), *range(28, 45), *range(46, 52), 78)}
    | {f"S-{number}" for number in (*range(2, 10), *range(29, 36))}
)


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    items = [item for folder in FOLDERS for item in _items(root / folder, split)]
    return sorted(items, key=lambda item: item.name)


def _items(folder: Path, split: str) -> Iterator[Item]:
    for path in found(folder / "Stereo Images", "*.jpg"):
        if (split == "test") == (path.stem.rsplit("-", 1)[0] in TEST):
            height, width = size_of(path)
            yield Item(path.stem, path, _mask(folder / "Average_masks" / f"{path.stem}-Disc-Avg"), _half(height, width))


def _half(height: int, width: int) -> tuple[int, int, int, int]:
    return 0, 0, height, width // 2


def _mask(stem: Path) -> Path:
    paths = [stem.with_name(stem.name + ending) for ending in ENDINGS]
    return next((path for path in paths if path.is_file()), paths[0])


def cup_of(disc: Path) -> tuple[Path]:
    """The cup's mask, beside the disc's."""
    return (disc.with_name(disc.name.replace("-Disc-", "-Cup-")),)


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 from the disc's mask and the cup's beside it. Raises BadInput."""
    return disc_and_cup_ids(path, *cup_of(path), at_least=HALF)


DATASET = Dataset(
    name="rim_one",
    title="RIM-ONE r3",
    space="fundus",
    splits={"train": Split(99), "test": Split(60)},
    files=_files,
    ids=FUNDUS,
    maps={"fundus": FUNDUS},
    download=Download("RIM-ONE r3", "the research group's page at La Laguna", "research"),
    layout="{Healthy,Glaucoma and suspects}/Stereo Images/*.jpg\n"
    "{Healthy,Glaucoma and suspects}/Average_masks/*-{Disc,Cup}-Avg.{png,tif}",
    shapes=frozenset({(1424, 1072)}),
    read_label=read_label,
    beside=cup_of,
    confirmed={
        "layout": "folders as public code names them; whether masks are PNG or TIFF is unconfirmed, both are read",
        "split": "99 and 60 as public code lists them",
    },
)
