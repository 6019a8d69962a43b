"""LoveDA (Wang et al., NeurIPS data sets 2021): aerial images of towns and of the country in three Chinese cities."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired

PARTS = ("urban", "rural")
IDS = {
    0: "no data",
    1: "background",
    2: "building",
    3: "road",
    4: "water",
    5: "barren",
    6: "forest",
    7: "agriculture",
}
MAP = {raw: name for raw, name in IDS.items() if name != "no data"}


def _files(root: Path, split: str, part: str | None) -> list[Item]:
    parts = PARTS if part is None else (part,)
    items = [item for name in parts for item in _items(root / split.capitalize() / name.capitalize(), split)]
    return sorted(items, key=lambda item: item.name)


def _items(folder: Path, split: str) -> Iterator[Item]:
    labels = folder / "masks_png" if split != "test" else None
    return paired(folder / "images_png", "*.png", image_ending=".png", labels=labels, label_ending=".png")


DATASET = Dataset(
    name="loveda",
    title="LoveDA",
    space="loveda",
    splits={
        "train": Split({"urban": 1156, "rural": 1366}),
        "val": Split({"urban": 677, "rural": 992}),
        "test": Split({"urban": 820, "rural": 976}, labelled=False),
    },
    files=_files,
    ids=IDS,
    maps={"loveda": MAP},
    download=Download("Train.zip, Val.zip, Test.zip", "Zenodo, record 5706578", "CC BY-NC-SA"),
    layout="{Train,Val,Test}/{Urban,Rural}/images_png/*.png\n{Train,Val}/{Urban,Rural}/masks_png/*.png",
    shapes=frozenset({(1024, 1024)}),
    parts=PARTS,
    confirmed={
        "counts": "unconfirmed by part",
        "names": "numbers that run on over parts and splits, unconfirmed",
    },
)
