"""A picture of all domains: a row each, three images and the label of the third.

python -m xdseg.data.streetworld.montage docs/images/streetworld.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from xdseg.data.streetworld.render import render
from xdseg.data.streetworld.settings import CLASSES, DOMAINS, Streetworld

GAP = 6  # pixels of white between panels
KEPT_BITS = np.uint8(0b11111100)  # the rest is noise that makes the file half as large again
INDICES = (1, 4, 10)  # training scenes that are shown
PALETTE: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "car": (0, 0, 142),
    "bus": (0, 60, 100),
    "bicycle": (119, 11, 32),
}
"""Cityscapes' colours."""


def montage(settings: Streetworld) -> np.ndarray:
    """All panels, (rows, columns, 3), uint8."""
    palette = np.array([PALETTE[name] for name in CLASSES], np.uint8)
    rows = []
    for domain in DOMAINS:
        scenes = [render(settings, domain=domain, split="train", index=index) for index in INDICES]
        rows.append(_joined([*(image for image, _ in scenes), palette[scenes[-1][1]]], axis=1))
    return _joined(rows, axis=0) & KEPT_BITS


def _joined(panels: list[np.ndarray], *, axis: int) -> np.ndarray:
    """Panels side by side (axis 1) or one above the other (axis 0), with white gaps."""
    shape = list(panels[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=axis)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(montage(Streetworld())).save(target, optimize=True)
