"""ACDC's test server: train ids in a folder labelTrainIds, all four conditions side by side, scored pooled.

Sources: DAFormer's README (predictions go to labelTrainIds, with to_label_id=False), VBLC's README (that folder is
zipped and uploaded), DTBS's README, which repeats the server's rules (1920 x 1080, train ids).
"""

from collections.abc import Iterable
from pathlib import Path

from xdseg.exports.contract import Folder, Server, named

CONDITIONS = ("fog", "night", "rain", "snow")
TRAIN_IDS = tuple(range(19))


def _images(root: Path) -> Iterable[str]:
    for condition in CONDITIONS:
        yield from named(root / "rgb_anon" / condition / "test", "*/*_rgb_anon.png", ending="_rgb_anon.png")


SERVER = Server(
    name="acdc",
    title="ACDC",
    where="acdc.vision.ee.ethz.ch/submit",
    count=2000,
    shape=(1080, 1920),
    ids=TRAIN_IDS,
    pattern=r"[A-Z0-9]+_frame_\d{6}",
    example="GOPR0122_frame_000161",
    ending="_gt_labelTrainIds.png",
    images=_images,
    folders=(Folder("labelTrainIds"),),
    unconfirmed=("the folder labelTrainIds, without one per condition: what others upload, not read at the server",),
)
