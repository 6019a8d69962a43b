"""Batch norm whose statistics are of the whole batch, whichever process its images are in.

On GPUs this is torch's SyncBatchNorm. Torch has none for CPUs; `SharedBatchNorm` is one from its definition (Ioffe and
Szegedy, ICML 2015), made for tests and small machines: it keeps more in memory than torch's own.
"""

import torch
from torch import Tensor, nn

from xdseg.training.ranks import alone, global_sum

PLACES = (0, 2, 3)  # of (B, C, H, W), what statistics are over


class SharedBatchNorm(nn.BatchNorm2d):
    """In training, mean and variance over the images of all processes; with gradient through both."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to the same, in its type."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            count = global_sum(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
            mean = global_sum(x.sum(PLACES)) / count
            centred = x - mean[:, None, None]
            variance = global_sum(centred.square().sum(PLACES)) / count
            self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
            scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
            shifted = centred * scale[:, None, None]
            return (shifted if self.bias is None else shifted + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as torch's batch norm has them."""
        if self.running_mean is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


def share_norms(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with shared batch norms, under the same names and with the same parameters; alone as it is."""
    if alone():
        return module
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for part in module.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = SharedBatchNorm
    return module
