"""The selective scan as arms of a benchmark: ours, mambapy's, and mamba-ssm's reference; inputs as MFuser has them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mambapy.mamba import MambaBlock
from torch import Tensor

from xdseg.segmenters.scan.api import selective_scan
from xdseg.segmenters.scan.reference import selective_scan_reference

BIAS = -4.0  # softplus(-4) = 0.018, in the range of Mamba's first step sizes


class Inputs(NamedTuple):
    """As the convolution and the linear layers before a scan leave them; B is the batch, N states, D channels."""

    u: Tensor  # (B, D, L)
    dt: Tensor  # (B, L, D)
    A: Tensor  # (D, N)
    B: Tensor  # (B, L, N)
    C: Tensor  # (B, L, N)
    D: Tensor  # (D)
    delta_bias: Tensor  # (D)


Arm = Callable[[Inputs], Tensor]  # outputs (B, D, L)


def draw(*, batch: int, length: int, channels: int, states: int) -> Inputs:
    """Random inputs that want gradients, the same at each call; A as at the start of training, -1 to -N."""
    draws = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=draws)
    B, C = (normal(batch, length, states) for _ in range(2))
    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    found = Inputs(
        normal(batch, channels, length),
        normal(batch, length, channels),
        A,
        B,
        C,
        torch.ones(channels),
        torch.full((channels,), BIAS),
    )
    return Inputs(*(x.requires_grad_() for x in found))


def ours(x: Inputs, *, backend: str = "streaming") -> Tensor:
    """The package's."""
    return selective_scan(*_upstream(x), D=x.D, delta_bias=x.delta_bias, delta_softplus=True, backend=backend)


def explicit(x: Inputs) -> Tensor:
    """The recurrence step by step, nothing precomputed."""
    options = {"D": x.D, "delta_bias": x.delta_bias, "delta_softplus": True}
    return selective_scan_reference(*_upstream(x), **options)[0]


def mambapy(x: Inputs) -> Tensor:
    """mambapy's block, whose method uses nothing of the block."""
    dt = F.softplus(x.dt + x.delta_bias)
    return MambaBlock.selective_scan(None, x.u.transpose(1, 2), dt, x.A, x.B, x.C, x.D).transpose(1, 2)


def plain(x: Inputs) -> Tensor:
    """As mamba-ssm's reference does it: decays and inputs of all steps at once, then a loop."""
    u, dt, A, B, C = _upstream(x)
    dt = F.softplus(dt + x.delta_bias[:, None])
    decays = torch.exp(torch.einsum("bdl,dn->bdln", dt, A))
    inputs = torch.einsum("bdl,bnl,bdl->bdln", dt, B, u)
    h, found = A.new_zeros(len(u), *A.shape), []
    for step in range(u.shape[2]):
        h = decays[:, :, step] * h + inputs[:, :, step]
        found.append(torch.einsum("bdn,bn->bd", h, C[:, :, step]))
    return torch.stack(found, 2) + u * x.D[:, None]


def _upstream(x: Inputs) -> tuple[Tensor, ...]:
    return x.u, x.dt.transpose(1, 2), x.A, x.B.transpose(1, 2), x.C.transpose(1, 2)


def forward(arm: Arm, x: Inputs) -> Tensor:
    """Outputs, without what gradients need."""
    with torch.no_grad():
        return arm(x)


def training(arm: Arm, x: Inputs, wanted: Tensor) -> tuple[Tensor, ...]:
    """Gradients of all inputs, for those of the outputs, `wanted` (B, D, L)."""
    return torch.autograd.grad(arm(x), x, wanted)
