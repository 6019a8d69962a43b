"""Cityscapes' test server: raw label ids, one file per image, matched by CITY_SEQUENCE_FRAME*.png in any folder.

Source: the instructions in cityscapesScripts' evalPixelLevelSemanticLabeling.py, which the server runs.
"""

from collections.abc import Iterable
from pathlib import Path

from xdseg.datasets.cityscapes import SCORED
from xdseg.exports.contract import Server, named


def _images(root: Path) -> Iterable[str]:
    return named(root / "leftImg8bit" / "test", "*/*_leftImg8bit.png", ending="_leftImg8bit.png")


SERVER = Server(
    name="cityscapes",
    title="Cityscapes",
    where="cityscapes-dataset.com/submit",
    count=1525,
    shape=(1024, 2048),
    ids=SCORED,
    pattern=r"[a-z-]+_\d{6}_\d{6}",
    example="berlin_000000_000019",
    ending="_gtFine_labelIds.png",
    images=_images,
)
