"""ISPRS Vaihingen: 33 aerial tiles (infrared, red, green) at 9 cm, used through windows of 512.

Tiles of the splits and windows are those of mmsegmentation's converter.
"""

from pathlib import Path

import numpy as np

from xdseg.datasets import isprs
from xdseg.datasets.colours import coloured_ids
from xdseg.datasets.contract import Dataset, Download, Item, Split

TILES = {
    "train": (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37),
    "val": (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38),
}
IMAGES = "ISPRS_semantic_labeling_Vaihingen"
LABELS = "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE"


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    return isprs.windows_of_tiles(
        root / IMAGES / "top",
        root / LABELS,
        tiles=[f"area{number}" for number in TILES[split]],
        before="top_mosaic_09cm_",
        image_ending=".tif",
        label_ending="_noBoundary.tif",
    )


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 of a whole tile. Raises BadInput."""
    return coloured_ids(path, isprs.COLOURS)


DATASET = Dataset(
    name="vaihingen",
    title="ISPRS Vaihingen",
    space="isprs",
    splits={"train": Split(344), "val": Split(398)},
    files=_files,
    ids=isprs.IDS,
    maps={"isprs": isprs.MAP},
    download=Download(
        f"{IMAGES}.zip, {LABELS}.zip",
        "the benchmark's page at ISPRS, after a request",
        "research, request form",
    ),
    layout=f"{IMAGES}/top/top_mosaic_09cm_area*.tif\n{LABELS}/top_mosaic_09cm_area*_noBoundary.tif",
    shapes=frozenset({(512, 512)}),
    groups=r"^(area\d+)_",  # tile
    read_label=read_label,
    confirmed={
        "counts": "as mmsegmentation states them; sizes of tiles but area1 (2569x1919, 24 windows) are unconfirmed",
        "layout": "each archive in a folder of its name, unconfirmed",
    },
)
