"""A colour for every class: those that readers know, and for other names colours that are far from all before."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from xdseg.data.streetworld.montage import PALETTE

Colour = tuple[int, int, int]  # RGB, 0..255
UNTINTED = ("background",)  # what is nothing in particular keeps its own look
FAMILIAR: dict[str, Colour] = PALETTE | {
    "wall": (102, 102, 156),
    "rider": (255, 0, 0),
    "truck": (0, 0, 70),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    # of coarser classes, after the nearest of Cityscapes
    "drivable": (128, 64, 128),
    "non-drivable": (244, 35, 232),
    "living": (220, 20, 60),
    "vehicle": (0, 0, 142),
    "roadside-object": (250, 170, 30),
    "far-object": (107, 142, 35),
    # against the orange of an eye and the pink of a stain
    "background": (0, 0, 0),
    "vessel": (0, 220, 240),
    "nucleus": (40, 240, 40),
}
"""Cityscapes' colours, and those of the suites in params.yaml."""
LEVELS = (0, 40, 80, 120, 160, 200, 240)  # of each channel of the colours to choose from
LIGHTNESS, CHROMA = (45, 85), 40  # what shows on dark and bright images alike: L* between, distance from grey above
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


@lru_cache
def colours(classes: tuple[str, ...]) -> np.ndarray:
    """A colour per class, (K, 3) uint8, all different; equal names give equal colours in any process."""
    known = [FAMILIAR[name] for name in classes if name in FAMILIAR]
    fresh = iter(_far_from(known, count=len(classes) - len(known)))
    return np.array([FAMILIAR[name] if name in FAMILIAR else next(fresh) for name in classes], np.uint8).reshape(-1, 3)


def _far_from(taken: Sequence[Colour], *, count: int) -> list[Colour]:
    """Colours, each the one whose nearest among all before it is farthest; the grid's own order breaks ties."""
    grid = np.array([(r, g, b) for r in LEVELS for g in LEVELS for b in LEVELS])
    seen = lab(grid)
    vivid = (np.hypot(seen[:, 1], seen[:, 2]) > CHROMA) & (LIGHTNESS[0] < seen[:, 0]) & (seen[:, 0] < LIGHTNESS[1])
    grid, seen = grid[vivid], seen[vivid]
    # grey is taken from the beginning: an image's own shades
    nearest = np.linalg.norm(seen[:, None] - lab(np.array([(128, 128, 128), *taken])), axis=2).min(axis=1)
    chosen = []
    for _ in range(count):
        best = int(nearest.argmax())
        chosen.append(tuple(grid[best].tolist()))
        nearest = np.minimum(nearest, np.linalg.norm(seen - seen[best], axis=1))
    return chosen


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (N, 3), 0..255, as CIELAB (N, 3), where distances are about those that eyes see; white is D65."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    relative = linear @ TO_XYZ.T / WHITE
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
