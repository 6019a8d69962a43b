"""Random squares of images, at random scales, and the same squares of their labels."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xdseg.data.augmentation import uniform
from xdseg.data.tensors import image_tensor, resize_image, resize_labels


class Window(NamedTuple):
    """A square of an image, in pixels."""

    top: int
    left: int
    side: int
    flipped: bool

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Its pixels, (side, side, ...), not yet flipped."""
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]


def draw_window(shape: tuple[int, int], *, crop: int, scale: tuple[float, float], draws: torch.Generator) -> Window:
    """A square of an image of this height and width, as large as its crop at a random scale."""
    height, width = shape
    side = min(round(crop / uniform(*scale, draws)), height, width)
    top, left = (int(uniform(0, 1, draws) * (full - side + 1)) for full in (height, width))
    return Window(top, left, side, uniform(0, 1, draws) < 0.5)


def cut_image(image: np.ndarray, window: Window, crop: int) -> Tensor:
    """The window of an image (H, W, 3), resized; (3, crop, crop), uint8."""
    pixels = resize_image(image_tensor(window.of(image)), (crop, crop))
    return pixels.flip(-1) if window.flipped else pixels


def cut_labels(labels: np.ndarray, window: Window, crop: int) -> Tensor:
    """The window of labels (H, W), resized; (crop, crop), uint8."""
    found = resize_labels(torch.from_numpy(window.of(labels).copy()), (crop, crop))
    return found.flip(-1) if window.flipped else found
