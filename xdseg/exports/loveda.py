"""LoveDA's test servers: class ids 0..6 under the images' own file names, at the top of the zip.

Sources: predict.py and README of the project; its author in LoveDA#6 and #32 (a zip of a folder scores 0).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from xdseg.exports.contract import Server, named

REGIONS = {"urban": 820, "rural": 976}


def _images(*regions: str) -> Callable[[Path], Iterable[str]]:
    def listed(root: Path) -> Iterable[str]:
        for region in regions:
            yield from named(root / "Test" / region.capitalize() / "images_png", "*.png", ending=".png")

    return listed


SERVER = Server(
    name="loveda",
    title="LoveDA, both regions",
    where="Codabench, competitions 13030 and 13037",
    count=sum(REGIONS.values()),
    shape=(1024, 1024),
    ids=tuple(range(7)),
    pattern=r"\d+",
    example="4191",
    ending=".png",
    images=_images(*REGIONS),
    unconfirmed=("which of the two competitions wants one region and which both",),
)
URBAN, RURAL = (
    replace(SERVER, name=f"loveda-{region}", title=f"LoveDA, {region}", count=count, images=_images(region))
    for region, count in REGIONS.items()
)
