"""Other things than classes that rebuilt maps may be held against: mean squared errors over hidden cells.

Rows of the paper's ablation, whose details are not published. Pixels: as in MAE, one linear layer reads a token's own
patch from its state, here pooled to 8 by 8 and normalised like the network's input. Features: rebuilt maps against the
teacher's or the student's own, as they are.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.mfm.masks import spread
from xdseg.segmenters.contract import Size
from xdseg.training.ranks import global_sum

PATCH = 8  # side of a token's patch of pooled pixels
COLOURS = 3


class PixelHead(nn.Conv2d):
    """Token states (B, width, h, w) to patches (B, 3 * 8 * 8, h, w): one linear layer for all tokens."""

    def __init__(self, width: int) -> None:
        super().__init__(width, COLOURS * PATCH**2, kernel_size=1)
        nn.init.xavier_uniform_(self.weight.flatten(1))
        nn.init.zeros_(self.bias)


def patches(images: Tensor, grid: Size) -> Tensor:
    """Normalised images (B, 3, H, W) to (B, 3 * 8 * 8, *grid): each token's pixels, pooled to 8 by 8."""
    pooled = F.adaptive_avg_pool2d(images, tuple(PATCH * side for side in grid))
    return F.pixel_unshuffle(pooled, PATCH)


def hidden_error(made: Tensor, wanted: Tensor, keep: Tensor) -> Tensor:
    """Mean squared error of (B, C, h, w) over cells whose token is hidden; 0 if none is."""
    hidden = ~spread(keep, tuple(made.shape[-2:]))
    errors = (made.float() - wanted.float()).square().mean(1)  # (B, h, w)
    return (errors * hidden).sum() / global_sum(hidden.sum()).clamp(min=1)


def map_error(made: Mapping[str, Tensor], wanted: Mapping[str, Tensor], keep: Tensor) -> Tensor:
    """The same of several maps, each counting alike; no gradient enters what is wanted."""
    return torch.stack([hidden_error(value, wanted[name].detach(), keep) for name, value in made.items()]).mean()
