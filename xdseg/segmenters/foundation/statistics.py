"""Images as an encoder was pre-trained on them, where that is not with ImageNet's mean and deviation (CLIP, SigLIP)."""

import torch
from torch import Tensor, nn

from xdseg.data.tensors import MEAN, STD

PLACE = (3, 1, 1)  # of one number per channel beside (B, 3, H, W)


class OwnStatistics(nn.Module):
    """Turns images of ImageNet's statistics into those of an encoder of timm; of the same ones it leaves every bit."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        known = getattr(encoder, "pretrained_cfg", None) or {}
        mean, std = known.get("mean", MEAN), known.get("std", STD)
        self.same = (tuple(mean), tuple(std)) == (MEAN, STD)
        factor = torch.tensor(STD) / torch.tensor(std)
        shift = (torch.tensor(MEAN) - torch.tensor(mean)) / torch.tensor(std)
        self.register_buffer("factor", factor.view(PLACE), persistent=False)
        self.register_buffer("shift", shift.view(PLACE), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to the same normalised otherwise."""
        return images if self.same else images * self.factor + self.shift
