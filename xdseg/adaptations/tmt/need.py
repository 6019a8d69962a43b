"""How much adaptation needs of each region: few signs that it transfers, and much doubt what it is.

Reconstruction: neither the score of transferability nor its combination with uncertainty is published for TMT. All
values lie in [0, 1]; the standardised map does not.
"""

import math

import torch
from torch import Tensor

from xdseg.adaptations.entropy import self_information
from xdseg.settings.tmt import Acte

CLIP = 2.0  # standard deviations
ROUNDING = 1e-5  # contrast below which a map has none: what is left is rounding


def transferability(logits: Tensor, kind: str) -> Tensor:
    """Of a discriminator's logits, those of d = probability of one domain: 1 where domains cannot be told apart.

    `entropy`: -d log2 d - (1 - d) log2 (1 - d), as in TVT (Yang et al., WACV 2023); `prob`: 1 - |2 d - 1|.
    """
    d = logits.float().sigmoid()
    if kind == "prob":
        return 1 - (2 * d - 1).abs()
    return self_information(torch.stack([d, 1 - d], dim=1)).sum(1)


def uncertainty(probabilities: Tensor) -> Tensor:
    """Entropy (B, h, w) in [0, 1] of class probabilities (B, K, h, w): -1 / log K sum_k P_k log P_k."""
    return self_information(probabilities.float()).sum(1)


def combined(transfer: Tensor, doubt: Tensor, settings: Acte) -> Tensor:
    """The need N(r) of regions with transferability T(r) and uncertainty U(r), all of one shape, in [0, 1]."""
    strange = transfer if settings.prefer == "high" else 1 - transfer
    if settings.combine == "convex":
        return settings.alpha * strange + (1 - settings.alpha) * doubt
    if settings.combine == "product":
        return strange * doubt
    if settings.combine == "noisy-or":
        return 1 - (1 - strange) * (1 - doubt)
    return strange if settings.combine == "transferability" else doubt


def shuffled(values: Tensor) -> Tensor:
    """Values (B, G, H) of regions, dealt out to other regions: by one order per number of regions, whatever the image.

    The placebo: what regions have is unchanged but for its place.
    """
    many = math.prod(values.shape[1:])
    order = torch.randperm(many, generator=torch.Generator().manual_seed(many)).to(values.device)
    return values.flatten(1)[:, order].view_as(values)


def standardised(need: Tensor, kind: str, *, floor: float = ROUNDING) -> Tensor:
    """A map (B, h, w), image by image: `zscore`, clipped to 2 deviations, `minmax` to [0, 1], or `none`.

    A map without contrast is 0 everywhere; one whose deviation (`minmax`: range) is below `floor` is divided by that,
    so that noise is not made as strong as a map that says something.
    """
    if kind == "none":
        return need
    flat = need.flatten(1)
    if kind == "minmax":
        moved, scale = flat - flat.amin(1, keepdim=True), flat.amax(1, keepdim=True) - flat.amin(1, keepdim=True)
    else:
        moved = flat - flat.mean(1, keepdim=True)
        scale = moved.square().mean(1, keepdim=True).sqrt()
    scaled = torch.where(scale > ROUNDING, moved / scale.clamp(min=floor), 0)
    return (scaled if kind == "minmax" else scaled.clamp(-CLIP, CLIP)).view_as(need)
