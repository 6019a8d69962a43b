"""ISPRS Potsdam: 38 aerial tiles of 6000 by 6000 pixels at 5 cm, used through windows of 512.

Parts are two orthophotos of the same tiles: `rgb` (also without a part) and `irrg` (infrared, red, green), which are
the bands of Vaihingen. Tiles of the splits and windows are those of mmsegmentation's converter: 144 windows a tile.
"""

from pathlib import Path

import numpy as np

from xdseg.datasets import isprs
from xdseg.datasets.colours import coloured_ids, saturated_ids
from xdseg.datasets.contract import Dataset, Download, Item, Split

PARTS = {"rgb": ("2_Ortho_RGB", "_RGB.tif"), "irrg": ("3_Ortho_IRRG", "_IRRG.tif")}
TILES = {
    "train": (
        *("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "4_12", "5_10", "5_11", "5_12"),
        *("6_10", "6_11", "6_12", "6_7", "6_8", "6_9", "7_10", "7_11", "7_12", "7_7", "7_8", "7_9"),
    ),
    "val": (
        *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13", "6_14", "6_15"),
        "7_13",
    ),
}
OFF_COLOUR = ("top_potsdam_4_12_", "top_potsdam_6_7_")  # saved with losses; their colours are near the true ones


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    folder, ending = PARTS[part or "rgb"]
    return isprs.windows_of_tiles(
        root / folder,
        root / "5_Labels_all_noBoundary",
        tiles=TILES[split],
        before="top_potsdam_",
        image_ending=ending,
        label_ending="_label_noBoundary.tif",
    )


def read_label(path: Path) -> np.ndarray:
    """Raw ids (H, W) uint8 of a whole tile. Raises BadInput."""
    read = saturated_ids if path.name.startswith(OFF_COLOUR) else coloured_ids
    return read(path, isprs.COLOURS)


DATASET = Dataset(
    name="potsdam",
    title="ISPRS Potsdam",
    space="isprs",
    splits={"train": Split(3456), "val": Split(2016)},
    files=_files,
    ids=isprs.IDS,
    maps={"isprs": isprs.MAP},
    download=Download(
        "2_Ortho_RGB.zip or 3_Ortho_IRRG.zip, 5_Labels_all_noBoundary.zip",
        "the benchmark's page at ISPRS, after a request",
        "research, request form",
    ),
    layout="{2_Ortho_RGB,3_Ortho_IRRG}/top_potsdam_*_{RGB,IRRG}.tif\n"
    "5_Labels_all_noBoundary/top_potsdam_*_label_noBoundary.tif",
    shapes=frozenset({(512, 512)}),
    parts=tuple(PARTS),
    groups=r"^(\d+_\d+)_",  # tile
    read_label=read_label,
    confirmed={
        "counts": "windows, the same in either part",
        "colours": "tiles 4_12 and 6_7 are off colour in 5_Labels_all; for noBoundary that is unconfirmed",
    },
)
