"""Photometric views within a step: colour jitter and blur of images that are already on the device.

As in DACS and its successors, whether to jitter and whether to blur is drawn once per step, and how much for each
image. Departs from them in whose colour operations these are: torchvision's in place of kornia's, so brightness is a
factor and not a summand, and contrast keeps the mean; the blur's kernel ends at three standard deviations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from xdseg.data.augmentation import BLUR_REACH, uniform
from xdseg.data.tensors import WHITE, denormalise, normalise
from xdseg.settings.dacs import Views
from xdseg.training.ranks import image_share

OPERATIONS = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
HUE = OPERATIONS.index("adjust_hue")  # the one whose amount is a shift around 0 instead of a factor around 1


@dataclass(frozen=True)
class Switches:
    """What is done to the images of one step."""

    jitter: bool
    blur: bool


def draw_switches(settings: Views, draws: torch.Generator) -> Switches:
    """One draw for each; both are always made, so that neither moves the other."""
    jitter, blur = uniform(0, 1, draws), uniform(0, 1, draws)
    p = settings.jitter_p
    wanted = jitter > p if settings.jitter_p_means == "threshold" else jitter < p
    return Switches(wanted, blur < settings.blur_p)


def changed(images: Tensor, settings: Views, draws: torch.Generator) -> Tensor:
    """Normalised (B, 3, H, W), jittered and blurred as drawn; the very same tensor if neither is drawn."""
    switches = draw_switches(settings, draws)
    if not (switches.jitter or switches.blur):
        return images
    pixels = denormalise(images).clamp(0, 1)
    if switches.jitter:
        strength, pixel = settings.jitter_strength, pixels[0, :, :1, :1]
        pixels = _each(pixels, lambda image: jittered(image, strength, draws), lambda: jittered(pixel, strength, draws))
    if switches.blur:
        sigma = settings.blur_sigma
        pixels = _each(pixels, lambda image: blurred(image, sigma, draws), lambda: uniform(*sigma, draws))
    return normalise(WHITE * pixels)


def _each(pixels: Tensor, change: Callable[[Tensor], Tensor], skip: Callable[[], object]) -> Tensor:
    """Every image changed; `skip` draws what other processes draw for the batch's other images."""
    share = image_share(len(pixels))
    for _ in range(share.first):
        skip()
    made = torch.stack([change(image) for image in pixels])
    for _ in range(share.total - share.first - share.count):
        skip()
    return made


def jittered(image: Tensor, strength: float, draws: torch.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: four changes in random order, factors from [1 - s, 1 + s], the hue's shift from [-s, s]."""
    for number in torch.randperm(len(OPERATIONS), generator=draws).tolist():
        amount = uniform(-strength, strength, draws)
        image = getattr(functional, OPERATIONS[number])(image, amount if number == HUE else 1 + amount)
    return image


def blurred(image: Tensor, sigma: tuple[float, float], draws: torch.Generator) -> Tensor:
    """(3, H, W) under a Gaussian whose standard deviation is drawn from `sigma`, in pixels."""
    width = 2 * math.ceil(BLUR_REACH * sigma[1]) + 1
    return functional.gaussian_blur(image, [width, width], [uniform(*sigma, draws)])
