"""What happens to a training image before the network sees it: scale, crop, flip, jitter, blur, padding.

The crop's window is chosen in stored pixels and only the window is resized, so the cost depends on the crop and not
on the image. As in mmsegmentation, an image smaller than the crop is padded on the right and at the bottom; padding
comes last, so that no jitter tints it: the image gets ImageNet's mean colour (0 once normalised), labels 255.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from xdseg.data.tensors import IGNORE, PADDING, image_tensor, resize_image, resize_labels
from xdseg.evaluation.sizes import sized
from xdseg.settings.sizes import ImageSize
from xdseg.settings.training import Augmentation, Blur, Jitter
from xdseg.training.streams import generator, global_draws

REDRAWS = 10  # as mmsegmentation's RandomCrop
BLUR_REACH = 3  # the kernel ends at so many standard deviations, where 0.3% of the weight is left


@dataclass(frozen=True)
class Draw:
    """Which random stream an image's draws come from."""

    seed: int
    name: str  # role and position in the batch, such as source/3
    step: int

    def generator(self) -> torch.Generator:
        """The stream of the geometry."""
        return generator(self.seed, f"geometry/{self.name}", self.step)


@dataclass(frozen=True)
class Window:
    """Rectangle in stored pixels, and its size (height, width) after resizing, both at most the crop's."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The window's part of an (H, W, ...) array."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


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


def _jitter(settings: Jitter) -> v2.Transform:
    amounts = {name: getattr(settings, name) for name in ("brightness", "contrast", "saturation", "hue")}
    return v2.RandomApply([v2.ColorJitter(**amounts)], p=settings.probability)


def _blur(settings: Blur) -> v2.Transform:
    reach = int(np.ceil(BLUR_REACH * settings.sigma[1]))
    return v2.RandomApply([v2.GaussianBlur(2 * reach + 1, sigma=settings.sigma)], p=settings.probability)


def photometric(settings: Augmentation) -> v2.Transform | None:
    """Jitter and blur as settings ask, drawing from torch's global generator; None if there is neither."""
    parts = [_jitter(settings.jitter)] if settings.jitter else []
    parts += [_blur(settings.blur)] if settings.blur else []
    return v2.Compose(parts) if parts else None


def _padded(array: Tensor, crop: tuple[int, int] | None, value: Tensor) -> Tensor:
    """`array` (..., h, w) in the upper left of a (..., *crop) filled with `value`."""
    height, width = array.shape[-2:]
    if crop is None or (height, width) == crop:
        return array.contiguous()
    padded = value.expand(*array.shape[:-2], *crop).clone()
    padded[..., :height, :width] = array
    return padded


class Augmenter:
    """Applies one `Augmentation`; holds no random state, so equal draws give equal pixels in any process."""

    def __init__(self, settings: Augmentation, *, ignore_index: int = IGNORE) -> None:
        self.settings = settings
        self.ignore_index = ignore_index
        self.photometric = photometric(settings)

    def labelled(
        self, image: np.ndarray, labels: np.ndarray, draw: Draw, *, resize: ImageSize | None = None
    ) -> tuple[Tensor, Tensor]:
        """(H, W, 3) and (H, W) uint8 to (3, *crop) and (*crop) uint8, ignored pixels 255."""
        image_part, label_part = self._geometry(image, labels, draw, resize)
        if self.photometric is not None:
            with global_draws(draw.seed, f"photometric/{draw.name}", draw.step):
                image_part = self.photometric(tv_tensors.Image(image_part)).as_subclass(Tensor)
        return self._pad_image(image_part), self._pad_labels(label_part)

    def unlabelled(self, image: np.ndarray, draw: Draw, *, resize: ImageSize | None = None) -> Tensor:
        """(H, W, 3) to (3, *crop) uint8, geometry only: adaptations jitter their own views of the target."""
        return self._pad_image(self._geometry(image, None, draw, resize)[0])

    def _geometry(
        self, image: np.ndarray, labels: np.ndarray | None, draw: Draw, resize: ImageSize | None
    ) -> tuple[Tensor, Tensor | None]:
        draws, shape = draw.generator(), image.shape[:2]
        window = choose_window(shape, labels, self.settings, draws, ignore=self.ignore_index, resize=resize)
        flipped = uniform(0, 1, draws) < self.settings.flip
        parts = [resize_image(image_tensor(window.of(image)), window.size)]
        if labels is not None:
            parts.append(resize_labels(torch.from_numpy(np.array(window.of(labels))), window.size))
        parts = [part.flip(-1) if flipped else part for part in parts]
        return parts[0], parts[1] if labels is not None else None

    def _pad_image(self, image: Tensor) -> Tensor:
        return _padded(image, self.settings.crop_size, torch.tensor(PADDING, dtype=torch.uint8).view(-1, 1, 1))

    def _pad_labels(self, labels: Tensor) -> Tensor:
        labels = labels.masked_fill(labels == self.ignore_index, IGNORE)
        return _padded(labels, self.settings.crop_size, torch.tensor(IGNORE, dtype=torch.uint8))
