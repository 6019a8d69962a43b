"""Layers that several heads share, initialised as mmsegmentation does, which the papers' code builds on."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, *, kernel: int, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; (B, inputs, h, w) to (B, outputs, h, w)."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def separable(inputs: int, outputs: int, *, dilation: int) -> nn.Sequential:
    """Depthwise 3x3, then 1x1, each with batch norm and ReLU; (B, inputs, h, w) to (B, outputs, h, w)."""
    depthwise = conv_norm(inputs, inputs, kernel=3, dilation=dilation, groups=inputs)
    return nn.Sequential(depthwise, conv_norm(inputs, outputs, kernel=1))


class Embeddings(nn.ModuleList):
    """One linear layer per map, to a common number of channels and to the finest map's size."""

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__(nn.Linear(width, channels) for width in inputs)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(B, C_i, h_i, w_i), finest first, to (B, channels, h_1, w_1) each, in the same order."""
        size = maps[0].shape[-2:]
        embedded = [layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for layer, x in zip(self, maps, strict=True)]
        return [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in embedded]
