"""The mask module of EoMT: classes and masks from query and patch tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPSILON = 1e-6


class MaskHead(nn.Module):
    """Class logits by a linear layer; mask logits as products of embedded queries with upscaled patches."""

    def __init__(self, width: int, classes: int, *, patch: int) -> None:
        super().__init__()
        self.class_head = nn.Linear(width, classes + 1)
        layers = [nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)]
        self.mask_head = nn.Sequential(*layers)
        self.upscale = nn.Sequential(*(ScaleBlock(width) for _ in range(upscalings(patch))))

    def masks(self, queries: Tensor, patches: Tensor) -> Tensor:
        """Mask logits (B, Q, s h, s w) of queries (B, Q, D) and patches (B, D, h, w), both normalised."""
        return torch.einsum("bqc,bchw->bqhw", self.mask_head(queries), self.upscale(patches))

    def forward(self, queries: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits, and class logits (B, Q, K + 1), the last being "no object"."""
        return self.masks(queries, patches), self.class_head(queries)


def upscalings(patch: int) -> int:
    """How often patches are doubled: to a stride of 4 pixels for patches of 8 or 16, at least once."""
    return max(1, patch.bit_length() - 1 - 2)  # bit_length - 1 is floor(log2)


class ScaleBlock(nn.Module):
    """Doubles a map: transposed convolution, GELU, depthwise 3x3 without bias, layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width, bias=False)
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to (B, D, 2 h, 2 w)."""
        x = self.conv2(F.gelu(self.conv1(x)))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
