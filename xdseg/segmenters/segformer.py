"""SegFormer: a Mix Transformer and a head of linear layers.

Xie et al., NeurIPS 2021. The maps are joined deepest first, as in the released code, so that published heads fit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.layers import Embeddings, conv_norm
from xdseg.segmenters.mit import MiTSegmenter
from xdseg.settings.mit import SegFormer as Settings

NARROW, WIDE = 256, 768  # channels of the published heads
NARROW_ENCODERS = ("mit_b0", "mit_b1")


class SegFormer(MiTSegmenter):
    """The network; `head` takes the head's learning rate."""

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        channels = head_channels(settings)
        self.head = SegFormerHead(self.widths, channels, len(self.classes), dropout=settings.dropout)


def head_channels(settings: Settings) -> int:
    """Channels of the head: those asked for, else the published ones for the encoder."""
    return settings.channels or (NARROW if settings.encoder in NARROW_ENCODERS else WIDE)


class SegFormerHead(nn.Module):
    """Linear layer per map, linear fusion, linear classifier."""

    def __init__(self, inputs: Sequence[int], channels: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.embeddings = Embeddings(inputs, channels)
        self.fuse = conv_norm(channels * len(inputs), channels, kernel=1)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, classes, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i), finest first, to logits (B, classes, h_1, w_1)."""
        return self.classifier(self.dropout(self.fuse(torch.cat(self.embeddings(maps)[::-1], dim=1))))
