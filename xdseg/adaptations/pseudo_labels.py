"""From a teacher's probabilities to labels with one weight for all: the share of pixels that it is sure of.

French et al., ICLR 2020; Tranheden et al., WACV 2021 (DACS); rows that nobody trusts from Hoyer et al., CVPR 2022
(DAFormer). Departs from them where they have no case: padding of an image smaller than the crop gets no label and is
not counted.
"""

from dataclasses import replace

import torch
from torch import Tensor

from xdseg.adaptations.contract import PseudoLabels
from xdseg.data.tensors import IGNORE, PADDING, normalise
from xdseg.training.ranks import global_sum

CLOSE = 0.005  # a third of one 8-bit level after normalisation, so that only padding itself is taken for padding


def threshold_weighted(probabilities: Tensor, images: Tensor, *, threshold: float) -> PseudoLabels:
    """Labels of (B, K, H, W) on normalised images (B, 3, H, W); the weight is one number over the whole batch."""
    confidence, labels = probabilities.max(1)  # (B, H, W)
    inside = image_area(images)
    sure, pixels = ((confidence >= threshold) & inside).sum(), inside.sum()
    share = global_sum(sure) / global_sum(pixels).clamp(min=1)
    return PseudoLabels(labels.masked_fill(~inside, IGNORE), share.expand(labels.shape))


def rows_ignored(given: PseudoLabels, *, top: int, bottom: int) -> PseudoLabels:
    """The same labels, of weight 0 in the first `top` and last `bottom` rows; the weight elsewhere stays as it is.

    As in DAFormer: the rows keep their labels, so the mean of a loss counts their pixels. HRDA lays its margins before
    cropping, at all four sides of the image, which a crop cannot tell: there is no switch for them.
    """
    if not (top or bottom):
        return given
    weights = given.weights.clone()  # (B, H, W)
    weights[:, :top] = 0
    weights[:, max(weights.shape[1] - bottom, 0) :] = 0
    return replace(given, weights=weights)


def image_area(images: Tensor) -> Tensor:
    """(B, H, W) bool: False in the rows and columns of normalised (B, 3, H, W) that padding fills."""
    padding = normalise(torch.tensor(PADDING, dtype=torch.uint8, device=images.device).view(-1, 1, 1))
    grey = ((images - padding).abs() < CLOSE).all(1)  # (B, H, W)
    rows, columns = grey.all(2), grey.all(1)
    return ~(rows[:, :, None] | columns[:, None, :])
