"""What happens to a training image before the network sees it: scale, crop, flip, jitter, blur, padding.

The crop's window is chosen in stored pixels and only the window is resized, so the cost depends on the crop and not
on the image. As in mmsegmentation, an image smaller than the crop is padded on the right and at the bottom; padding
comes last, so that no jitter tints it: the image gets ImageNet's mean colour (0 once normalised), or black, labels 255.

A distortion comes first, as in EoMT, where also the flip comes before scale, padding and crop. What is left of the
difference: the window lies on whole stored and not on whole resized pixels, so that a resized side differs by up to a
pixel, and the outermost pixels do not see their neighbours beyond the window.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from xdseg.data.crops import View, Wanted, choose_window, uniform
from xdseg.data.distortion import distorted, draw_changes
from xdseg.data.tensors import IGNORE, PADDING, image_tensor
from xdseg.settings.sizes import ImageSize
from xdseg.settings.training import Augmentation, Blur, Jitter
from xdseg.training.streams import generator, global_draws

LABELLED_REDRAWS = 100  # EoMT's have no end, so that an image without any label would stop its training
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
        self,
        image: np.ndarray,
        labels: np.ndarray,
        draw: Draw,
        *,
        resize: ImageSize | None = None,
        wanted: Wanted | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(H, W, 3) and (H, W) uint8 to (3, *crop) and (*crop) uint8, ignored pixels 255."""
        view = self._wanted_view(labels, draw.generator(), resize, wanted)
        seen = self._distorted(image, view, draw)
        if self.photometric is not None:
            with global_draws(draw.seed, f"photometric/{draw.name}", draw.step):
                seen = self.photometric(tv_tensors.Image(seen)).as_subclass(Tensor)
        return self._pad_image(seen), self._pad_labels(view.labels(labels))

    def unlabelled(self, image: np.ndarray, draw: Draw, *, resize: ImageSize | None = None) -> Tensor:
        """(H, W, 3) to (3, *crop) uint8, geometry only: adaptations jitter their own views of the target."""
        view = self._view(None, image.shape[:2], draw.generator(), resize)
        return self._pad_image(view.image(image_tensor(view.window.of(image))))

    def _wanted_view(
        self, labels: np.ndarray, draws: torch.Generator, resize: ImageSize | None, wanted: Wanted | None
    ) -> View:
        """The first view that shows enough of the wanted class, or the last of its redraws; else the first one."""
        view = self._view(labels, labels.shape, draws, resize)
        for _ in range(wanted.redraws if wanted else 0):
            if wanted.shown(view.labels(labels), self.settings.crop_size or view.window.size):
                break
            view = self._view(labels, labels.shape, draws, resize)
        return view

    def _view(
        self, labels: np.ndarray | None, shape: tuple[int, int], draws: torch.Generator, resize: ImageSize | None
    ) -> View:
        """The first view that shows a labelled pixel, where that is asked for; else the first one."""
        asked = labels is not None and self.settings.labelled_only
        for _ in range(LABELLED_REDRAWS if asked else 0):
            view = self._draw_view(labels, shape, draws, resize)
            if (view.labels(labels) != self.ignore_index).any():
                return view
        return self._draw_view(labels, shape, draws, resize)

    def _draw_view(
        self, labels: np.ndarray | None, shape: tuple[int, int], draws: torch.Generator, resize: ImageSize | None
    ) -> View:
        window = choose_window(shape, labels, self.settings, draws, ignore=self.ignore_index, resize=resize)
        return View(window, uniform(0, 1, draws) < self.settings.flip)

    def _distorted(self, image: np.ndarray, view: View, draw: Draw) -> Tensor:
        """What the view shows of the image, distorted on the way if that is asked for."""
        settings, window = self.settings.distortion, view.window
        if settings is None:
            return view.image(image_tensor(window.of(image)))
        changes = draw_changes(settings, generator(draw.seed, f"distortion/{draw.name}", draw.step))
        if settings.of == "crop":
            return distorted(view.image(image_tensor(window.of(image))), changes)
        return view.image(distorted(image_tensor(image), changes, place=window.slices))

    def _pad_image(self, image: Tensor) -> Tensor:
        colour = PADDING if self.settings.padding == "mean" else (0, 0, 0)
        return _padded(image, self.settings.crop_size, torch.tensor(colour, dtype=torch.uint8).view(-1, 1, 1))

    def _pad_labels(self, labels: Tensor) -> Tensor:
        labels = labels.masked_fill(labels == self.ignore_index, IGNORE)
        return _padded(labels, self.settings.crop_size, torch.tensor(IGNORE, dtype=torch.uint8))
