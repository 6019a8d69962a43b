"""The set loss of mask classifiers (Mask2Former, Cheng et al., CVPR 2022), as EoMT takes it over.

Each prediction is matched by itself and counts in full. An ignored pixel belongs to no mask: for the masks it is a
negative, as published; only the metric leaves it out. Masks are compared at points, most of them uncertain ones; binary
cross entropy and dice are summed over pairs and divided by the number of masks in the batch. An image without a
labelled pixel says nothing: it has no part in any term (the published recipe has no such image).

Pixel weights, which the paper does not have, scale a pixel's part: of the binary cross entropy at each point; in dice,
relative to the mean weight of the mask's own pixels. Whatever belongs to a mask as a whole (its dice, the class of its
query) is scaled by that mean, and the class of a query without a mask by the mean over the image's labelled pixels.
So halving all weights halves each term, and weights of 1 give the published loss bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.matching import Pairs, labelled, match
from xdseg.segmenters.points import corners, pixel_weights, sample, uncertain_points
from xdseg.settings.mask_loss import SetLoss
from xdseg.training.ranks import global_sum


@torch.compiler.disable
def set_loss(
    masks: Sequence[Tensor],
    classes: Sequence[Tensor],
    labels: Tensor,
    weights: Tensor | None,
    settings: SetLoss,
    *,
    stream: torch.Generator,
) -> dict[str, Tensor]:
    """Terms `class`, `mask` and `dice`, weighted and summed over the predictions, each matched by itself.

    Of each, mask logits (B, Q, h, w) and class logits (B, Q, K + 1), the last being "no object". Labels (B, H, W) are
    int64, weights (B, H, W) or None; `stream` lies on their device.
    """
    with torch.autocast(labels.device.type, enabled=False):
        pairs = match(masks, classes, labels, settings, stream=stream)
    return paired_loss(masks, classes, pairs, labels, weights, settings, stream=stream)


@torch.compiler.disable
def paired_loss(
    masks: Sequence[Tensor],
    classes: Sequence[Tensor],
    pairs_of_all: Sequence[Pairs],
    labels: Tensor,
    weights: Tensor | None,
    settings: SetLoss,
    *,
    stream: torch.Generator,
) -> dict[str, Tensor]:
    """The same for predictions whose pairs are known."""
    if weights is None:
        weights = torch.ones((), device=labels.device).expand(labels.shape)
    with torch.autocast(labels.device.type, enabled=False):
        means = mean_weights(labels, weights.float(), classes[0].shape[-1] - 1)
        terms = {"class": [], "mask": [], "dice": []}
        for logits, scores, pairs in zip(masks, classes, pairs_of_all, strict=True):
            terms["class"].append(settings.class_weight * class_loss(scores.float(), pairs, labels, means, settings))
            entropy, dice = mask_losses(logits.float(), pairs, labels, weights.float(), means, settings, stream=stream)
            terms["mask"].append(settings.mask_weight * entropy)
            terms["dice"].append(settings.dice_weight * dice)
    return {name: torch.stack(values).sum() for name, values in terms.items()}


@dataclass(frozen=True)
class MeanWeights:
    """Of the pixels of each class (B, K) and of all labelled ones (B,); 0 where there is none."""

    classes: Tensor
    images: Tensor
    masks: Tensor  # number of masks in the batch, over all processes, at least 1


def mean_weights(labels: Tensor, weights: Tensor, classes: int) -> MeanWeights:
    """Sums over counts, both exact for weights of 1 below 2^24 pixels of a class."""
    ids = labels.flatten(1).clamp(max=classes)  # ignored pixels fall into a last column that is dropped
    shape = (len(labels), classes + 1)
    counts = weights.new_zeros(shape).scatter_add_(1, ids, torch.ones_like(ids, dtype=weights.dtype))[:, :-1]
    sums = weights.new_zeros(shape).scatter_add_(1, ids, weights.flatten(1))[:, :-1]
    overall = sums.sum(1) / counts.sum(1).clamp(min=1)
    return MeanWeights(sums / counts.clamp(min=1), overall, global_sum((counts > 0).sum()).clamp(min=1))


def class_loss(scores: Tensor, pairs: Pairs, labels: Tensor, means: MeanWeights, settings: SetLoss) -> Tensor:
    """Cross entropy of class logits (B, Q, K + 1), a mean weighted by 1 for matched queries, `no_object` for others."""
    none = scores.shape[-1] - 1
    truth = torch.full(scores.shape[:2], none, device=scores.device)
    truth[pairs.images, pairs.queries] = pairs.classes
    factors = means.images[:, None].repeat(1, scores.shape[1])
    factors[pairs.images, pairs.queries] = means.classes[pairs.images, pairs.classes]
    entropy = F.cross_entropy(scores.transpose(1, 2), truth, reduction="none")  # (B, Q)
    shares = torch.where(truth == none, settings.no_object, 1.0) * labelled(labels)[:, None]
    return (entropy * factors * shares).sum() / global_sum(shares.sum()).clamp(min=torch.finfo(shares.dtype).tiny)


def mask_losses(
    logits: Tensor,
    pairs: Pairs,
    labels: Tensor,
    weights: Tensor,
    means: MeanWeights,
    settings: SetLoss,
    *,
    stream: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Binary cross entropy and dice of mask logits (B, Q, h, w), summed over pairs, over the number of masks."""
    matched = logits[pairs.images, pairs.queries]  # (M, h, w)
    points = uncertain_points(matched, settings, stream=stream)
    with torch.no_grad():
        truth = corners(labels, points, pairs.images).masks(pairs.classes)  # (M, N)
        factors = pixel_weights(weights, points, pairs.images)
        mean = means.classes[pairs.images, pairs.classes]
        relative = torch.where(mean[:, None] > 0, factors / mean[:, None].clamp(min=torch.finfo(mean.dtype).tiny), 0)
    found = sample(matched[:, None], points)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(found, truth, reduction="none") * factors
    masks = found.sigmoid()
    overlap, total = (relative * masks * truth).sum(1), (relative * masks).sum(1) + (relative * truth).sum(1)
    dice = mean * (1 - (2 * overlap + 1) / (total + 1))
    return entropy.mean(1).sum() / means.masks, dice.sum() / means.masks
