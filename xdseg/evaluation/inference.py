"""Class ids of whole images: resizing, windows, averaging, argmax at the truth's resolution."""

from collections.abc import Iterable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.data.tensors import image_tensor, normalise, resize_image
from xdseg.evaluation.sizes import sized
from xdseg.segmenters.contract import Segmenter, Size
from xdseg.settings.evaluation import Inference
from xdseg.training.device import Precision, autocast


def window_offsets(length: int, *, window: int, stride: int) -> list[int]:
    """Where windows start along a side: every `stride` pixels, the last one flush with the border.

    As mmsegmentation's slide_inference; a side shorter than the window has one window, cut to it.
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def cover_offsets(length: int, *, window: int) -> list[int]:
    """Where the fewest windows that cover a side start: evenly spread, the outer ones flush with the borders.

    As EoMT's along the long side. Whole numbers where EoMT rounds down a float, which in rare cases leaves the last
    pixel out (of 303 in windows of 100); at its own windows of 512, 640, 1024 and 1280 the two agree.
    """
    gaps, free = -(-length // window) - 1, length - window
    return [number * free // gaps for number in range(gaps + 1)] if gaps > 0 else [0]


def slide(segmenter: Segmenter, images: Tensor, *, window: int, stride: int, per_pass: int = 1) -> Tensor:
    """Scores (B, K, H, W) in float32, averaged over all windows every `stride` pixels that see a pixel."""
    tops, lefts = (window_offsets(side, window=window, stride=stride) for side in images.shape[-2:])
    return _averaged(segmenter, images, product(tops, lefts), window=window, per_pass=per_pass)


def cover(segmenter: Segmenter, images: Tensor, *, window: int, per_pass: int = 1) -> Tensor:
    """Scores (B, K, H, W) in float32, averaged over those of the fewest windows that see a pixel."""
    tops, lefts = (cover_offsets(side, window=window) for side in images.shape[-2:])
    return _averaged(segmenter, images, product(tops, lefts), window=window, per_pass=per_pass)


def _averaged(
    segmenter: Segmenter, images: Tensor, corners: Iterable[tuple[int, int]], *, window: int, per_pass: int
) -> Tensor:
    """What averages are the segmenter's scores: of a mask classifier products of probabilities, not logits."""
    height, width = images.shape[-2:]
    total, seen = None, torch.zeros(1, 1, height, width, device=images.device)
    places = [(..., slice(top, top + window), slice(left, left + window)) for top, left in corners]
    for some in (places[first : first + per_pass] for first in range(0, len(places), per_pass)):
        cuts = [images[place] for place in some]  # of one size: a side shorter than the window cuts all of them
        scores = segmenter.predict(torch.cat(cuts) if len(cuts) > 1 else cuts[0]).float()
        if total is None:
            total = scores.new_zeros(len(images), scores.shape[1], height, width)
        for place, part in zip(some, scores.split(len(images)), strict=True):
            total[place] += part
            seen[place] += 1
    return total / seen


@torch.no_grad()
def scores_of(segmenter: Segmenter, image: np.ndarray, *, settings: Inference, precision: Precision = "fp32") -> Tensor:
    """Scores (1, K, h, w), float32, of an (H, W, 3) uint8 image at the size that `settings` gives it."""
    device = next(segmenter.parameters()).device
    pixels = resize_image(image_tensor(image), sized(image.shape[:2], settings.size))
    images = normalise(pixels.to(device))[None]
    with autocast(device, precision):
        window, per_pass = settings.window, settings.windows_per_pass
        if settings.mode == "slide":
            return slide(segmenter, images, window=window, stride=settings.stride, per_pass=per_pass)
        if settings.mode == "cover":
            return cover(segmenter, images, window=window, per_pass=per_pass)
        return segmenter.predict(images).float()


def class_ids(
    segmenter: Segmenter, image: np.ndarray, *, settings: Inference, size: Size, precision: Precision = "fp32"
) -> np.ndarray:
    """Class ids (H, W) uint8 of an (H, W, 3) uint8 image. Sets the network to eval mode.

    They have `size`, the truth's, to which scores are resized before the argmax; with `output: input` the size that
    the network saw.
    """
    segmenter.eval()
    scores = scores_of(segmenter, image, settings=settings, precision=precision)
    if settings.output == "truth" and tuple(scores.shape[-2:]) != tuple(size):
        scores = F.interpolate(scores, size, mode="bilinear", align_corners=settings.align_corners)
    return scores.argmax(1)[0].to(torch.uint8).cpu().numpy()
