"""DAFormer's network: a Mix Transformer, and a head that fuses its four maps with context at several dilations.

Hoyer et al., CVPR 2022. Each map is embedded to C channels by a linear layer and resized to the finest; side by side
they enter parallel convolutions of several dilations, without global pooling, whose outputs are fused and classified.
Follows the released code where the paper's text differs: the branch of dilation 1 is a plain 1x1 convolution (text: all
branches are separable 3x3), and a 3x3 convolution fuses the branches (text: 1x1). Dropout takes whole channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.layers import Embeddings, conv_norm, separable
from xdseg.segmenters.mit import MiTSegmenter
from xdseg.settings.mit import DAFormer as Settings

CLASSIFIER_DEVIATION = 0.01  # of its initial weights, as in mmsegmentation's heads


class DAFormer(MiTSegmenter):
    """The network; `head` takes the head's learning rate."""

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        self.head = DAFormerHead(settings, self.widths, len(self.classes))


class DAFormerHead(nn.Module):
    """Context-aware fusion of several maps."""

    def __init__(self, settings: Settings, inputs: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, joint = settings.channels, settings.channels * len(inputs)
        self.embeddings = Embeddings(inputs, channels)
        self.branches = nn.ModuleList(_branch(joint, channels, dilation) for dilation in settings.dilations)
        self.fuse = conv_norm(channels * len(settings.dilations), channels, kernel=3)
        self.dropout = nn.Dropout2d(settings.dropout)
        self.classifier = nn.Conv2d(channels, classes, kernel_size=1)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_DEVIATION)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i), finest first, to logits (B, classes, h_1, w_1)."""
        # channels first: embedded maps come channels last, where dilated depthwise gradients are slow on processors
        joint = torch.cat(self.embeddings(maps), dim=1).contiguous()
        branches = torch.cat([branch(joint) for branch in self.branches], dim=1)
        return self.classifier(self.dropout(self.fuse(branches)))


def _branch(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return conv_norm(inputs, outputs, kernel=1) if dilation == 1 else separable(inputs, outputs, dilation=dilation)
