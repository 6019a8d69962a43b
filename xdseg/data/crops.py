"""Which part of an image a crop shows: windows in stored pixels, drawn by scale and place, and drawn again."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xdseg.data.tensors import resize_image, resize_labels
from xdseg.evaluation.sizes import sized
from xdseg.settings.sampling import RareClass
from xdseg.settings.sizes import ImageSize
from xdseg.settings.training import Augmentation

REDRAWS = 10  # as mmsegmentation's RandomCrop


@dataclass(frozen=True)
class Window:
    """Rectangle in stored pixels, and its size (height, width) after resizing, both at most the crop's."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The window's part of an (H, W, ...) array."""
        return pixels[self.slices]


@dataclass(frozen=True)
class View:
    """A window, and whether it is mirrored."""

    window: Window
    flipped: bool

    def image(self, pixels: Tensor) -> Tensor:
        """The window's (3, h, w) uint8 pixels as they are seen: (3, *size)."""
        return self._turned(resize_image(pixels, self.window.size))

    def labels(self, labels: np.ndarray) -> Tensor:
        """The image's (H, W) uint8 labels as they are seen: (*size)."""
        return self._turned(resize_labels(torch.from_numpy(np.array(self.window.of(labels))), self.window.size))

    def _turned(self, part: Tensor) -> Tensor:
        return part.flip(-1) if self.flipped else part


@dataclass(frozen=True)
class Wanted:
    """The class that a crop should show, and how much of it (`xdseg.data.rare_classes`)."""

    number: int  # of the class
    settings: RareClass

    @property
    def redraws(self) -> int:
        """Crops that may be drawn after the first."""
        return self.settings.attempts if self.settings.min_crop_ratio else 0

    def shown(self, labels: Tensor, crop: tuple[int, int]) -> bool:
        """Do the labels (h, w) of a crop of that (height, width) hold enough of it?"""
        return int((labels == self.number).sum()) > self.settings.crop_threshold(crop)


def uniform(low: float, high: float, draws: torch.Generator) -> float:
    """One draw from [low, high)."""
    return low + (high - low) * torch.rand((), generator=draws).item()


def _place(free: int, draws: torch.Generator) -> int:
    return int(torch.randint(free + 1, (), generator=draws))


@dataclass(frozen=True)
class Frame:
    """What a crop is before its place is drawn: its size, and the stored pixels (height, width) that it covers."""

    size: tuple[int, int]
    covers: tuple[int, int]

    def place(self, shape: tuple[int, int], draws: torch.Generator) -> Window:
        """A window of it, cut off at the image's border where the image is smaller."""
        height, width = (min(side, whole) for side, whole in zip(self.covers, shape, strict=True))
        parts = zip((height, width), self.size, self.covers, strict=True)
        size = tuple(max(1, round(seen * crop / covered)) for seen, crop, covered in parts)
        return Window(_place(shape[0] - height, draws), _place(shape[1] - width, draws), height, width, size)


def draw_frame(
    shape: tuple[int, int], settings: Augmentation, draws: torch.Generator, *, resize: ImageSize | None = None
) -> Frame:
    """The crop of an image of `shape` that is first resized to `resize`, then by the drawn factor."""
    scale, resized = uniform(*settings.scale, draws), sized(shape, resize or "native")
    if settings.scale_of == "fit":
        scale *= min(crop / side for crop, side in zip(settings.crop_size, resized, strict=True))
    if settings.crop_size is None:
        return Frame(tuple(max(1, round(side * scale)) for side in resized), shape)
    factors = [scale * (after / before) for before, after in zip(shape, resized, strict=True)]
    covers = tuple(max(1, round(crop / factor)) for crop, factor in zip(settings.crop_size, factors, strict=True))
    return Frame(settings.crop_size, covers)


def largest_share(labels: np.ndarray, ignore: int) -> float:
    """Share of the most frequent class among the labelled pixels, in [0, 1]; 1 where nothing is labelled."""
    counts = np.bincount(labels.ravel(), minlength=ignore + 1)
    counts[ignore] = 0
    return counts.max() / counts.sum() if counts.any() else 1.0


def choose_window(
    shape: tuple[int, int],
    labels: np.ndarray | None,
    settings: Augmentation,
    draws: torch.Generator,
    *,
    ignore: int,
    resize: ImageSize | None = None,
) -> Window:
    """The first window that no class fills beyond `max_class_share`; the last of ten redraws if all are filled."""
    frame = draw_frame(shape, settings, draws, resize=resize)
    window = frame.place(shape, draws)
    if labels is None or settings.max_class_share == 1:
        return window
    for _ in range(REDRAWS):
        if largest_share(window.of(labels), ignore) <= settings.max_class_share:
            break
        window = frame.place(shape, draws)
    return window
