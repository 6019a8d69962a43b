"""A pyramid of maps from the patches of a plain transformer, by the blocks that EoMT scales its patches with.

It stands in for the adapter on the ladder's steps without one, after the simple pyramid of ViTDet (Li et al., ECCV
2022). Each of its maps comes from the patches by blocks of its own, one for each doubling or halving.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from xdseg.segmenters.mask_head import ScaleBlock


class HalvingBlock(ScaleBlock):
    """Halves a map: as `ScaleBlock`, with a strided convolution in place of the transposed one."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.conv1 = nn.Conv2d(width, width, kernel_size=2, stride=2)


class Pyramid(nn.Module):
    """Maps of some strides from patches of a side; both are powers of two, in pixels. That of the patches is theirs."""

    def __init__(self, width: int, *, patch: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(_path(width, patch, stride) for stride in strides)

    def forward(self, patches: Tensor) -> list[Tensor]:
        """(B, width, h, w) to maps (B, width, h_i, w_i) of the strides, in their order."""
        return [path(patches) for path in self.paths]


def _path(width: int, patch: int, stride: int) -> nn.Sequential:
    block = ScaleBlock if stride < patch else HalvingBlock
    factors = max(patch, stride) // min(patch, stride)
    return nn.Sequential(*(block(width) for _ in range(factors.bit_length() - 1)))
