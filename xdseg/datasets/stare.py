"""STARE (Hoover et al., 2000): vessels of the retina; parts are the two annotators, `ah` without a part."""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import found
from xdseg.datasets.medical import VESSELS, unzipped_image, vessel_ids

PARTS = ("ah", "vk")  # Adam Hoover, Valentina Kouznetsova
FIRST_TEN = frozenset({1, 2, 3, 4, 5, 44, 77, 81, 82, 139})


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    annotator = part or PARTS[0]
    images, labels = root / "stare-images", root / f"labels-{annotator}"
    for name in sorted({path.name.split(".")[0] for path in found(images, "im[0-9][0-9][0-9][0-9].ppm*")}):
        if split == "full" or (split == "train") == (int(name.removeprefix("im")) in FIRST_TEN):
            yield Item(name, _packed_or_not(images, name), _packed_or_not(labels, f"{name}.{annotator}"))


def _packed_or_not(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.ppm"
    return plain if plain.is_file() else folder / f"{name}.ppm.gz"


DATASET = Dataset(
    name="stare",
    title="STARE",
    space="vessels",
    splits={"full": Split(20), "train": Split(10, part_of=("full",)), "val": Split(10, part_of=("full",))},
    files=_files,
    ids=VESSELS,
    maps={"vessels": VESSELS},
    download=Download("stare-images.tar, labels-ah.tar, labels-vk.tar", "the project's page at Clemson", "open"),
    layout="stare-images/im*.ppm.gz\nlabels-{ah,vk}/im*.{ah,vk}.ppm.gz\n(unpacked .ppm are read too)",
    shapes=frozenset({(605, 700)}),
    parts=PARTS,
    read_image=unzipped_image,
    read_label=vessel_ids,
    confirmed={"splits": "mmsegmentation's first ten and last ten; the publisher has none"},
)
