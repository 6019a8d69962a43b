"""ClassMix: the pixels of half of a source image's classes, pasted onto a target image.

Olsson et al., WACV 2021, across domains as in Tranheden et al., WACV 2021 (DACS).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xdseg.adaptations.contract import PseudoLabels
from xdseg.data.loading import Labelled
from xdseg.training.ranks import alone, gathered, own

VALUES = 256  # of 8-bit labels


@dataclass(frozen=True)
class Mixed:
    """Source and target in one image, with labels and weights to match."""

    images: Tensor  # (B, 3, H, W)
    labels: Tensor  # (B, H, W) int64
    weights: Tensor  # (B, H, W) float32: 1 on source pixels


def draw_classes(labels: Tensor, draws: torch.Generator) -> Tensor:
    """Half of the n label values that occur, (n + n % 2) / 2 of them; ignored pixels are a value like any other."""
    values = labels.unique()  # sorted, so that the draw depends on nothing else
    count = (len(values) + len(values) % 2) // 2
    chosen = torch.randperm(len(values), generator=draws)[:count]
    return values[chosen.to(values.device)]


def paste_masks(labels: Tensor, draws: torch.Generator, *, classes_of: Literal["image", "batch"]) -> Tensor:
    """(B, H, W) bool, True where the source image is pasted; every image draws anew."""
    values = values_of_all(labels)
    together = labels if alone() else torch.cat(list(values))
    chosen = [draw_classes(one if classes_of == "image" else together, draws) for one in values]
    return torch.stack([torch.isin(image, one) for image, one in zip(labels, own(chosen), strict=True)])


def values_of_all(labels: Tensor) -> Sequence[Tensor]:
    """Per image of the whole batch, be it another process's, a tensor with the label values that occur in it."""
    if alone():
        return labels
    present = torch.zeros(len(labels), VALUES, dtype=torch.bool, device=labels.device)
    present.scatter_(1, labels.flatten(1), True)
    return [row.nonzero()[:, 0] for row in gathered(present)]


def mix(source: Labelled, target: Tensor, given: PseudoLabels, masks: Tensor) -> Mixed:
    """Paste the masked part of each source image onto the target image (B, 3, H, W) of the same row."""
    return Mixed(
        images=torch.where(masks[:, None], source.images, target),
        labels=torch.where(masks, source.labels, given.labels),
        weights=torch.where(masks, torch.ones_like(given.weights), given.weights),
    )
