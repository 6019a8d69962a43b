"""DRIVE (Staal et al., 2004): vessels of the retina, first annotator; test labels are no longer shipped."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.medical import VESSELS, vessel_ids

FOLDERS = {"train": ("training", "_training.tif"), "test": ("test", "_test.tif")}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    folder, ending = FOLDERS[split]
    for path in found(root / folder / "images", f"*{ending}"):
        name = path.name.removesuffix(ending)
        yield Item(name, path, root / folder / "1st_manual" / f"{name}_manual1.gif")


DATASET = Dataset(
    name="drive",
    title="DRIVE",
    space="vessels",
    splits={"train": Split(20), "test": Split(20)},
    files=_files,
    ids=VESSELS,
    maps={"vessels": VESSELS},
    download=Download("training.zip, test.zip", "Grand Challenge, after registration", "research, account needed"),
    layout="{training,test}/images/*.tif\n{training,test}/1st_manual/*_manual1.gif",
    shapes=frozenset({(584, 565)}),
    read_label=vessel_ids,
    confirmed={
        "test labels": "no longer shipped; a copy of 1st_manual of the older release is needed to score on test"
    },
)
