"""Which query answers for which class of an image: the assignment of least cost (DETR, Carion et al., ECCV 2020).

Costs as published by Mask2Former: class probability, binary cross entropy and dice at uniformly drawn points, which all
masks of an image share. As in its released code a cost is held within ±1e10 and one that is not a number is 0, so that
an overflow in half precision cannot stop the assignment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from xdseg.data.tensors import IGNORE
from xdseg.segmenters.points import corners, draw, sample
from xdseg.settings.mask_loss import SetLoss

LARGEST = 1e10  # of a cost


@dataclass(frozen=True)
class Pairs:
    """Matched queries of one prediction over a batch, (M,) int64 each."""

    images: Tensor
    queries: Tensor
    classes: Tensor


def classes_present(labels: Tensor, classes: int) -> Tensor:
    """Which classes labels (B, H, W) hold, (B, classes) bool."""
    found = torch.zeros(len(labels), classes + 1, dtype=torch.bool, device=labels.device)
    return found.scatter_(1, labels.flatten(1).clamp(max=classes), True)[:, :-1]  # ignored pixels fall into the last


def costs(logits: Tensor, truth: Tensor, probabilities: Tensor, settings: SetLoss) -> Tensor:
    """(B, Q, K), of mask logits (B, Q, N) and true masks (B, K, N) at points, and class probabilities (B, Q, K).

    Binary cross entropy of logit x and truth t is softplus(x) - x t, so one product per image gives all pairs.
    """
    truth = truth.transpose(1, 2)  # (B, N, K)
    entropy = (F.softplus(logits).sum(-1, keepdim=True) - logits @ truth) / logits.shape[-1]
    masks = logits.sigmoid()
    dice = 1 - (2 * masks @ truth + 1) / (masks.sum(-1, keepdim=True) + truth.sum(1, keepdim=True) + 1)
    total = settings.mask_weight * entropy + settings.dice_weight * dice - settings.class_weight * probabilities
    return total.clamp(-LARGEST, LARGEST).nan_to_num(nan=0.0)


@torch.no_grad()
def match(
    masks: Sequence[Tensor], classes: Sequence[Tensor], labels: Tensor, settings: SetLoss, *, stream: torch.Generator
) -> list[Pairs]:
    """The pairs of each prediction: mask logits (B, Q, h, w), class logits (B, Q, K + 1), labels (B, H, W).

    Each draws points of its own. One copy to the host and one back serve all predictions.
    """
    number, images = classes[0].shape[-1] - 1, torch.arange(len(labels), device=labels.device)
    tables = []
    for logits, scores in zip(masks, classes, strict=True):
        points = draw(len(labels), settings.points, stream=stream)
        truth = corners(labels, points, images).all_masks(number)
        tables.append(costs(sample(logits.float(), points), truth, scores.float().softmax(-1)[..., :-1], settings))
    present = classes_present(labels, number)
    found = [assign(table, present.cpu()) for table in torch.stack(tables).cpu()]
    moved = torch.cat(found, dim=1).to(labels.device)
    return [Pairs(*part) for part in moved.split([part.shape[1] for part in found], dim=1)]


def assign(table: Tensor, present: Tensor) -> Tensor:
    """(3, M): image, query and class of each pair, for costs (B, Q, K) and the classes present (B, K), on the CPU.

    As many pairs per image as it has classes, or queries if those are fewer.
    """
    parts = [torch.empty(3, 0, dtype=torch.int64)]
    for image, (costs_of_image, here) in enumerate(zip(table, present, strict=True)):
        ids = here.nonzero()[:, 0]
        rows, columns = (torch.from_numpy(part) for part in linear_sum_assignment(costs_of_image[:, ids].numpy()))
        parts.append(torch.stack([torch.full_like(rows, image), rows, ids[columns]]))
    return torch.cat(parts, dim=1)


def labelled(labels: Tensor) -> Tensor:
    """Which images of labels (B, H, W) have a labelled pixel, (B,) bool."""
    return (labels != IGNORE).flatten(1).any(1)
