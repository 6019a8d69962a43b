"""A small STARE: gzipped PPM, every second image unpacked, two annotators."""

import gzip
from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, photograph, save
from miniatures.vessels import mask

NUMBERS = {"train": (139, 1, 44), "val": (162, 324, 255)}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images of the first ten and of the last ten."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, numbers in NUMBERS.items():
        for position, number in enumerate(numbers[:count]):
            name = f"im{number:04d}"
            image = _packed(root / "stare-images" / f"{name}.ppm", photograph(rng, size), packed=position % 2 == 0)
            for part in ("ah", "vk"):
                values, label = mask(rng, size)
                _packed(root / f"labels-{part}" / f"{name}.{part}.ppm", values, packed=position % 2 == 0)
                for key in ((split, part), ("full", part)):
                    written.setdefault(key, {})[name] = image, label
    for split in ("full", *NUMBERS):
        written[split, None] = written[split, "ah"]
    litter(root / "stare-images" / "im0001.txt", root / "labels-ah" / "._im0001.ah.ppm.gz", root / "labels-ah.tar")
    return written


def _packed(path: Path, pixels: np.ndarray, *, packed: bool) -> np.ndarray:
    decoded = save(path, pixels)
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return decoded
