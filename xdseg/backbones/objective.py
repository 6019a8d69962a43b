"""Masked image modelling: the mean absolute error of pixels that the encoder could not see.

SimMIM (Xie et al., CVPR 2022), in the form that convolutions and transformers share: hidden patches are replaced in the
image itself, by its mean colour. Departs from it: the light decoder reads all maps of the encoder, not only the last.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.backbones.encoders import MapEncoder
from xdseg.settings.backbones import Masking

CHANNELS = 3  # of an image


def random_mask(settings: Masking, shape: tuple[int, int, int], draws: torch.Generator) -> Tensor:
    """(B, 1, H, W) bool, True where hidden: in every image the same number of patches, others each time."""
    batch, rows, columns = shape[0], shape[1] // settings.patch, shape[2] // settings.patch
    hidden = round(settings.ratio * rows * columns)
    order = torch.rand(batch, rows * columns, generator=draws).argsort(dim=1)
    mask = torch.zeros(batch, rows * columns, dtype=torch.bool).scatter(1, order[:, :hidden], True)
    mask = mask.view(batch, 1, rows, columns)
    return mask.repeat_interleave(settings.patch, 2).repeat_interleave(settings.patch, 3)


class MaskedImages(nn.Module):
    """Encoder and decoder; only the encoder is kept."""

    def __init__(self, encoder: MapEncoder, channels: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, Decoder(encoder.widths, encoder.strides[0], channels)

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """The loss on normalised images (B, 3, H, W), given what is hidden (B, 1, H, W)."""
        drawn = self.decoder(self.encoder(images.masked_fill(mask, 0.0)))
        return masked_error(drawn.float(), images, mask)


def masked_error(drawn: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference (B, 3, H, W) over the hidden pixels' channels."""
    return ((drawn - images).abs() * mask).sum() / (CHANNELS * mask.sum())


class Decoder(nn.Module):
    """Sum of the resized maps, one 3x3 convolution, and a square of pixels from each cell of the finest map."""

    def __init__(self, widths: Sequence[int], stride: int, channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1) for width in widths)
        self.mix = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.pixels = nn.Conv2d(channels, CHANNELS * stride * stride, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i), finest first, to (B, 3, h_1 * stride, w_1 * stride)."""
        size = maps[0].shape[-2:]
        levels = [layer(value) for layer, value in zip(self.lateral, maps, strict=True)]
        joint = sum(F.interpolate(level, size, mode="bilinear", align_corners=False) for level in levels)
        return F.pixel_shuffle(self.pixels(F.gelu(self.mix(F.gelu(joint)))), self.stride)
