"""Photometric distortion of stored pixels, as EoMT's (Kerssies et al., CVPR 2025), with torchvision's operations.

EoMT distorts the whole image and cuts a crop from it. Here only the crop's window is distorted, to the same bytes:
all but contrast are changes of single pixels, and for contrast the whole image gives its mean, no more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from xdseg.data.crops import uniform
from xdseg.data.tensors import WHITE
from xdseg.settings.training import Distortion

ORDERS = (("brightness", "contrast", "saturation", "hue"), ("brightness", "saturation", "hue", "contrast"))


class Change(NamedTuple):
    """One of the four."""

    name: str
    amount: float  # a factor, or the hue's shift in turns


def draw_changes(settings: Distortion, draws: torch.Generator) -> list[Change]:
    """What is done to one image, in order; always nine draws, so that none moves another."""
    changes = []
    for name in ORDERS[int(torch.randint(2, (), generator=draws))]:
        wanted = uniform(0, 1, draws) < settings.probability
        spread, centre = getattr(settings, name), 0 if name == "hue" else 1
        amount = uniform(centre - spread, centre + spread, draws)
        changes += [Change(name, amount)] if wanted else []
    return changes


def distorted(image: Tensor, changes: Sequence[Change], *, place: tuple[slice, slice] | None = None) -> Tensor:
    """The rows and columns `place`, default all, of the image (3, H, W) uint8 after the changes; uint8."""
    place = (..., *(place or (slice(None), slice(None))))
    whole = any(change.name == "contrast" for change in changes)  # what comes before it changes the mean
    pixels = image if whole else image[place]
    for name, amount in changes:
        if name == "contrast":
            pixels = _contrast(pixels[place], amount, mean=grey_mean(pixels))
        else:
            pixels = getattr(functional, f"adjust_{name}")(pixels, amount)
    return pixels


def grey_mean(image: Tensor) -> Tensor:
    """Mean of the grey values, rounded down to whole ones as torchvision does, of (3, H, W) uint8; a float32 scalar."""
    return functional.rgb_to_grayscale(image).mean(dtype=torch.float64).float()


def _contrast(image: Tensor, factor: float, *, mean: Tensor) -> Tensor:
    """As torchvision's adjust_contrast, with the mean given."""
    return image.mul(factor).add_(mean, alpha=1 - factor).clamp_(0, WHITE).to(torch.uint8)
