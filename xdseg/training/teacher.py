"""The teacher: a copy of the segmenter whose parameters follow the student's slowly.

Tarvainen and Valpola, NeurIPS 2017. Dropout and stochastic depth are off. Batch norm reads one of two things:

- `batch`, as in DACS and its successors, which average parameters only and leave the teacher in training mode: the
  statistics of the batch at hand. The default, since in a run of a few hundred steps the running statistics lag behind
  the weights, and the student's mix source and mixed images while the teacher sees the target alone.
- `running`: statistics averaged from the student's like the parameters, and evaluation mode. What the averaged network
  would be at test time, and independent of which images share a batch.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from xdseg.segmenters.contract import Segmenter
from xdseg.settings.training import TeacherNorm


def ema_rate(updates: int, limit: float) -> float:
    """Share of its own that the teacher keeps after so many updates of the student: min(1 - 1/(t + 1), limit).

    At t = 0 both are equal. Counted as DAFormer's code does; DACS's own counts from the update that it follows, so its
    teacher forgets the untrained network after the first step, where this one keeps half of it.
    """
    return min(1 - 1 / (updates + 1), limit)


class Teacher(nn.Module):
    """Holds the copy; it takes no gradient and is saved for resume, not for inference."""

    def __init__(self, student: Segmenter, rate: float, *, norm: TeacherNorm = "batch") -> None:
        super().__init__()
        self.segmenter = deepcopy(student).requires_grad_(False)
        self.rate, self.norm = rate, norm
        self.train()

    def train(self, mode: bool = True) -> "Teacher":
        """Training mode, except for whatever draws at random; with running statistics, always evaluation mode."""
        super().train(mode and self.norm == "batch")
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
        share = 1 - ema_rate(index + 1, self.rate)
        for mine, theirs in zip(self.segmenter.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs, share)
        if self.norm == "running":
            for mine, theirs in zip(self.segmenter.buffers(), student.buffers(), strict=True):
                mine.lerp_(theirs, share) if mine.is_floating_point() else mine.copy_(theirs)
