"""Class ids of whole images: resizing, sliding windows, averaging, argmax at the truth's resolution."""

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


def slide(segmenter: Segmenter, images: Tensor, *, window: int, stride: int) -> Tensor:
    """Scores (B, K, H, W) in float32, averaged over all windows that see a pixel."""
    height, width = images.shape[-2:]
    total, seen = None, torch.zeros(1, 1, height, width, device=images.device)
    for top in window_offsets(height, window=window, stride=stride):
        for left in window_offsets(width, window=window, stride=stride):
            place = (..., slice(top, top + window), slice(left, left + window))
            scores = segmenter.predict(images[place]).float()
            if total is None:
                total = scores.new_zeros(*scores.shape[:2], height, width)
            total[place] += scores
            seen[place] += 1
    return total / seen


@torch.no_grad()
def scores_of(segmenter: Segmenter, image: np.ndarray, *, settings: Inference, precision: Precision = "fp32") -> Tensor:
    """Scores (1, K, h, w), float32, of an (H, W, 3) uint8 image at the size that `settings` gives it."""
    device = next(segmenter.parameters()).device
    pixels = resize_image(image_tensor(image), sized(image.shape[:2], settings.size))
    images = normalise(pixels.to(device))[None]
    with autocast(device, precision):
        if settings.mode == "slide":
            return slide(segmenter, images, window=settings.window, stride=settings.stride)
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
