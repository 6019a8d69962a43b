"""From stored 8-bit pixels to what a network reads: resizing, and normalisation with ImageNet's statistics."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB values in [0, 1], as published weights expect
STD = (0.229, 0.224, 0.225)
WHITE = 255
PADDING = tuple(round(mean * WHITE) for mean in MEAN)  # about 0 after normalisation, like a convolution's own padding
IGNORE = 255  # label of pixels that no loss counts; a suite's own ignore_index is replaced by it when loaded


def image_tensor(pixels: np.ndarray) -> Tensor:
    """A writable copy of (H, W, 3) uint8 pixels as (3, H, W); laid out channels last, which torch resizes fastest."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) uint8 to (3, *size) uint8: bilinear, pixel centres aligned, antialiased where it shrinks."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def resize_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W) uint8 to `size`: nearest pixel centre, so that labels stay on their image (plain `nearest` shifts)."""
    return F.interpolate(labels[None, None], size, mode="nearest-exact")[0, 0]


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=like.device).view(-1, 1, 1) for values in (MEAN, STD))
    return mean, std


def normalise(images: Tensor) -> Tensor:
    """(..., 3, H, W) uint8 to float32 of mean 0 and deviation 1 over ImageNet."""
    mean, std = _statistics(images)
    return (images.float() / WHITE - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """The inverse, in [0, 1]: where photometric changes are defined."""
    mean, std = _statistics(images)
    return images * std + mean
