"""Which tokens are hidden, and what that means for maps of any size: one mask for all maps of an image.

A mask is true where a token is kept.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.contract import Size
from xdseg.training.ranks import rand

LEAST = 1e-6  # need of a token, so that one image without any is hidden evenly


def token_grid(last: Tensor, cells: float) -> Size:
    """Height and width of the tokens over a map (.., h, w), each about `cells` of its cells wide; 1 at least."""
    height, width = last.shape[-2:]
    return max(1, round(height / cells)), max(1, round(width / cells))


def draw_mask(batch: int, grid: Size, *, ratio: float | Tensor, draws: torch.Generator) -> Tensor:
    """(batch, *grid) bool: every token is hidden with probability `ratio`, or its own of (batch, *grid)."""
    return rand(batch, *grid, generator=draws) >= ratio


def shares_of(need: Tensor, grid: Size, ratio: float) -> Tensor:
    """(B, *grid), on the CPU: in proportion to need (B, h, w), but 1 at most, of mean `ratio` in each image."""
    flat = F.interpolate(need[:, None].float(), grid, mode="area").flatten(1).cpu().clamp(min=LEAST)
    shares, full = torch.zeros_like(flat), torch.zeros_like(flat, dtype=torch.bool)
    for _ in range(flat.shape[1]):  # each round but the last fills a token that the others' shares then pay for
        left = ratio * flat.shape[1] - full.sum(1, keepdim=True)
        shares = torch.where(full, 1, flat * left / flat.masked_fill(full, 0).sum(1, keepdim=True).clamp(min=LEAST))
        if not (over := shares > 1).any():
            break
        full |= over
    return shares.clamp(0, 1).unflatten(1, grid)


def spread(keep: Tensor, size: Size) -> Tensor:
    """(B, h, w) bool to (B, *size): each cell has the value of the token that its centre lies in."""
    return F.interpolate(keep[:, None].float(), size, mode="nearest-exact")[:, 0] > 0


def merged(maps: Mapping[str, Tensor], rebuilt: Mapping[str, Tensor], keep: Tensor) -> dict[str, Tensor]:
    """M f + (1 - M) o for every map: kept cells to the bit, hidden ones as rebuilt."""
    return {
        name: torch.where(spread(keep, tuple(value.shape[-2:]))[:, None], value, rebuilt[name].to(value.dtype))
        for name, value in maps.items()
    }


def zeros_like(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What stands in hidden cells where nothing is rebuilt."""
    return {name: torch.zeros_like(value) for name, value in maps.items()}
