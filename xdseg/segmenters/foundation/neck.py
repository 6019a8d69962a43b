"""The neck of tqdm and MFuser: from four blocks of a plain transformer to maps of four strides.

Pak et al., ECCV 2024; Zhang & Tan, CVPR 2025; after DenseCLIP. The first map is raised fourfold and the second twofold
by transposed convolutions, the third stays, the last is halved by max pooling. At MFuser's 2048 channels it has 50.34
million parameters, more than all adapters. With `bilinear` maps are resized, as Rein's are.

Departs from the code where `width` is set: the last convolution of each path then narrows the map, so that small
networks afford it.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.settings.neck import Neck as Settings

SCALES = (4.0, 2.0, 1.0, 0.5)  # of the maps, finest first, times the grid of the patches


class Neck(nn.Module):
    """`Neck(inputs, settings)` for four maps of `inputs` channels; `width` is that of the maps that it makes."""

    def __init__(self, inputs: int, settings: Settings) -> None:
        super().__init__()
        self.scaling, self.width = settings.scaling, settings.width or inputs
        if settings.scaling == "learnt":
            paths = _learnt(inputs, self.width, batch_norm=settings.batch_norm)
        else:
            paths = [_narrowed(inputs, self.width) for _ in SCALES]
        self.paths = nn.ModuleList(paths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (B, inputs, h, w), of the earliest block first, to (B, width, s h, s w), s in SCALES."""
        made = [path(x) for path, x in zip(self.paths, maps, strict=True)]
        if self.scaling == "learnt":
            return made
        return [x if scale == 1 else _resized(x, scale) for x, scale in zip(made, SCALES, strict=True)]


def _learnt(inputs: int, width: int, *, batch_norm: bool) -> list[nn.Module]:
    between = [nn.BatchNorm2d(inputs)] if batch_norm else []
    fourfold = nn.Sequential(_doubling(inputs, inputs), *between, nn.GELU(), _doubling(inputs, width))
    halved = nn.Sequential(_narrowed(inputs, width), nn.MaxPool2d(2))
    return [fourfold, _doubling(inputs, width), _narrowed(inputs, width), halved]


def _doubling(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2)


def _narrowed(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, kernel_size=1)


def _resized(x: Tensor, scale: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
