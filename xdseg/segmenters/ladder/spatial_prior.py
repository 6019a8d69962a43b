"""Spatial prior of ViT-Adapter (Chen et al., ICLR 2023): a small convolutional network beside the transformer."""

from itertools import pairwise

from torch import Tensor, nn

GROWTH = (1, 2, 4, 4)  # channels of the four maps, relative to the stem's
STEM_CONVOLUTIONS = 3
STRIDES = (4, 8, 16, 32)  # of its maps, in pixels, whatever the transformer's patch


class SpatialPrior(nn.Module):
    """Four maps of images, each projected to the transformer's width."""

    def __init__(self, width: int, *, channels: int) -> None:
        super().__init__()
        stem = [_convolution(3, channels, stride=2)]
        stem += [_convolution(channels, channels) for _ in range(STEM_CONVOLUTIONS - 1)]
        pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        widths = [channels * growth for growth in GROWTH]
        halvings = [_convolution(before, after, stride=2) for before, after in pairwise(widths)]
        self.stages = nn.ModuleList([nn.Sequential(*stem, pool), *halvings])
        self.projections = nn.ModuleList(nn.Conv2d(before, width, kernel_size=1) for before in widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps (B, width, h, w), finest first."""
        maps, x = [], images
        for stage, projection in zip(self.stages, self.projections, strict=True):
            x = stage(x)
            maps.append(projection(x))
        return maps


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
