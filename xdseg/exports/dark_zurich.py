"""Dark Zurich's test server: three folders of train ids, train ids with invalid pixels, and confidences.

`labelTrainIds` gives the mIoU. `labelTrainIds_invalid` gives UIoU (uncertainty-aware IoU) and may hold 255, by which
a prediction says that a pixel's content cannot be told. `confidence`, 16 bits, gives the average UIoU; XDSeg's
predictions hold no confidences, so it says 65535 (certain) everywhere, which leaves the other two scores as they are.

Sources: SePiCo's README (all three folders or the server refuses), the project CIConv's predict_dz.py (16 bits, sizes),
issues DANNet#4, #11, #17 (grey, not colours; `Missing prediction` for other names) and CMDA#1 (the first two folders).
"""

from collections.abc import Iterable
from pathlib import Path

from xdseg.exports.acdc import TRAIN_IDS
from xdseg.exports.contract import Folder, Server, named


def _images(root: Path) -> Iterable[str]:
    return named(root / "rgb_anon" / "test" / "night", "*/*_rgb_anon.png", ending="_rgb_anon.png")


SERVER = Server(
    name="dark-zurich",
    title="Dark Zurich",
    where="CodaLab, competition 3783",
    count=151,
    shape=(1080, 1920),
    ids=TRAIN_IDS,
    pattern=r"[A-Z0-9]+_frame_\d{6}",
    example="GOPR0364_frame_000001",
    ending="_gt_labelTrainIds.png",
    images=_images,
    folders=(
        Folder("labelTrainIds"),
        Folder("labelTrainIds_invalid", "invalid"),
        Folder("confidence", "confidence"),
    ),
    remarks=("confidence says certain everywhere: the average UIoU is not one of this method",),
    unconfirmed=("names ending as the truth's do: others upload several endings after the same beginning",),
)
