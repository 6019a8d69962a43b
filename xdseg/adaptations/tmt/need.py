"""How much adaptation needs of each region: few signs that it transfers, and much doubt what it is.

Reconstruction: neither the score of transferability nor its combination with uncertainty is published for TMT. All
values lie in [0, 1]; the standardised map does not.
"""

import math

import torch
from torch import Tensor

from xdseg.adaptations.entropy import self_information
from xdseg.settings.tmt import Acte, Shuffle

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


def placed(values: Tensor, shuffle: Shuffle) -> Tensor:
    """Values (B, G, H) of regions, given to other regions, the same way whatever the image: the placebos.

    `roll`: half a grid further, round the ends, so that no region of a side of two or more keeps its own, and values
    that lay side by side still do. True: dealt out in one random order per number of regions; a few keep their place
    (3 of 16), and the map is less smooth. False: as they are.
    """
    if shuffle == "roll":
        return values.roll([side // 2 for side in values.shape[1:]], dims=(1, 2))
    if not shuffle:
        return values
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
