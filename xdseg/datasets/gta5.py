"""GTA5 (Richter et al., ECCV 2016): frames of a game, labelled with Cityscapes' raw ids as a palette's indices.

The indices count, never the colours: by colour, pole groups would become poles and licence plates cars.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets import cityscapes
from xdseg.datasets.contract import Dataset, Download, Item, PublishedList, Split
from xdseg.datasets.listing import paired

LICENCE_PLATE = 34
ROBUSTNET = "RobustNet's lists, used by SHADE, WildNet and tqdm"


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(root / "images", "*.png", image_ending=".png", labels=root / "labels", label_ending=".png")


DATASET = Dataset(
    name="gta5",
    title="GTA5 (Playing for Data)",
    space="cityscapes",
    splits={
        "full": Split(24966),
        "train": Split(
            12388,
            listed=PublishedList(12388, "e9bbc84b43764af69e9ce770578c85353a1186b8459b4d78598f05e36ad3b23e", ROBUSTNET),
            within=("full",),
        ),
        "val": Split(
            6382,
            listed=PublishedList(6382, "55308b39ef07c8eb101cd790111dc8c535aebbdfb0ec8663b2682008cc0cf095", ROBUSTNET),
            within=("full",),
        ),
        "test": Split(
            6181,
            listed=PublishedList(6181, "680873b9587d528222b1056cc27bfe197b4b4ddf071765d55245a29364266b76", ROBUSTNET),
            within=("full",),
        ),
    },
    files=_files,
    ids=cityscapes.IDS | {LICENCE_PLATE: "license plate"},
    maps={"cityscapes": cityscapes.MAP},
    download=Download("01_images.zip … 10_images.zip, 01_labels.zip … 10_labels.zip", "the project's page", "research"),
    layout="images/*.png\nlabels/*.png",
    shapes=frozenset({(1052, 1914), (1046, 1914)}),
    confirmed={"licence": "its wording is unconfirmed"},
)
