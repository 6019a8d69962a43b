"""The teacher: a copy of the segmenter whose parameters follow the student's slowly.

Tarvainen and Valpola, NeurIPS 2017; as in DACS and its successors only parameters are averaged. Batch norm uses each
batch's own statistics, and dropout is off.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from xdseg.segmenters.contract import Segmenter


class Teacher(nn.Module):
    """Holds the copy; it takes no gradient and is saved for resume, not for inference."""

    def __init__(self, student: Segmenter, rate: float) -> None:
        super().__init__()
        self.segmenter = deepcopy(student).requires_grad_(False)
        self.rate = rate
        self.train()

    def train(self, mode: bool = True) -> "Teacher":
        """Training mode, except for whatever draws at random."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _DropoutNd) or type(module).__name__ == "DropPath":
                module.eval()
        return self

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """(B, K, H, W) at the images' size."""
        return self.segmenter.probabilities(self.segmenter.predict(images))

    @torch.no_grad()
    def follow(self, student: Segmenter, index: int) -> None:
        """Move towards the student after step `index` (from 0); the first steps average all students so far."""
        rate = min(1 - 1 / (index + 2), self.rate)
        for mine, theirs in zip(self.segmenter.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs, 1 - rate)
