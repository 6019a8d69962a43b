"""What the miniatures share: random images, labels that use every id, and files as publishers save them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Pairs = dict[str, tuple[np.ndarray, np.ndarray | None]]  # by item: image as decoded, raw ids
Written = dict[tuple[str, str | None], Pairs]  # by split and part
CELL = 4  # side of the squares that labels are made of


def photograph(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Random squares of colour with noise, (H, W, 3) uint8."""
    return np.clip(squares(rng, size, 256, channels=3) + rng.normal(0, 6, (*size, 3)), 0, 255).astype(np.uint8)


def mixed(rng: np.random.Generator, size: tuple[int, int], ids: Iterable[int]) -> np.ndarray:
    """Squares in which every id occurs, if there are enough of them, (H, W) uint8."""
    ids = list(ids)
    cells = -(-size[0] // CELL), -(-size[1] // CELL)
    order = rng.permutation(np.resize(ids, cells[0] * cells[1])).reshape(cells)
    return np.kron(order, np.ones((CELL, CELL), int))[: size[0], : size[1]].astype(np.uint8)


def squares(rng: np.random.Generator, size: tuple[int, int], below: int, *, channels: int) -> np.ndarray:
    """Random values in squares, (H, W, C)."""
    layers = [mixed(rng, size, rng.integers(0, below, 64)) for _ in range(channels)]
    return np.stack(layers, axis=-1)


def save(path: Path, pixels: np.ndarray, *, mode: str | None = None) -> np.ndarray:
    """Save an array in the format of the ending; returns the pixels as decoded, so that JPEG's losses are known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    with Image.open(path) as again:
        return np.array(again)


def litter(*paths: Path) -> None:
    """Files that lie about in real trees and that no reader may take for an image."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not an image")
