"""Patches and positions of a pre-trained transformer, resampled to other patches and other grids.

As MFuser's code has it: kernels by bicubic interpolation as they are, positions from the grid that they were learnt on,
without antialiasing. Positions stay as stored, so that one file serves all sizes of images.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Size
from xdseg.settings.encoders import Resampling


def resampled_kernel(kernel: Tensor, side: int) -> Tensor:
    """Weights (D, 3, p, p) of the embedding of patches, for patches of another side."""
    if kernel.shape[-1] == side:
        return kernel
    return F.interpolate(kernel.float(), (side, side), mode="bicubic", align_corners=False).to(kernel.dtype)


def with_patches(convolution: nn.Conv2d, side: int) -> nn.Conv2d:
    """The embedding of patches, for patches of another side."""
    if convolution.kernel_size == (side, side):
        return convolution
    like = {"bias": convolution.bias is not None, "device": convolution.weight.device}
    new = nn.Conv2d(convolution.in_channels, convolution.out_channels, side, stride=side, **like)
    with torch.no_grad():
        new.weight.copy_(resampled_kernel(convolution.weight, side))
        if convolution.bias is not None:
            new.bias.copy_(convolution.bias)
    return new


def placed(positions: Tensor, grid: Size, *, before: int, mode: Resampling) -> Tensor:
    """Positions (1, before + N, D) of a square grid, for another: (1, before + h w, D); the first `before` stay."""
    side = math.isqrt(positions.shape[1] - before)
    if grid == (side, side):
        return positions
    cells = positions[:, before:].transpose(1, 2).unflatten(2, (side, side)).float()
    resized = F.interpolate(cells, grid, mode=mode, align_corners=False).flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :before], resized.to(positions.dtype)], dim=1)


def whole_patches(images: Tensor, side: int, *, origin: str) -> Tensor:
    """Images (B, 3, H, W) without the rows and columns beyond the last whole patch, of which there must be two a side.

    Raises BadInput for images that are smaller.
    """
    height, width = (length // side * side for length in images.shape[-2:])
    if min(height, width) < 2 * side:
        size = "x".join(map(str, images.shape[-2:]))
        raise BadInput(f"{origin}: images of {size} pixels; take sides of {2 * side} at least, two patches")
    return images[..., :height, :width]
