"""From upstream's layouts of a selective scan's arguments to those that the recurrence reads, and back."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from xdseg.segmenters.scan.function import Given, SelectiveScan
from xdseg.segmenters.scan.recurrence import Form


class Arguments(NamedTuple):
    """Those of `selective_scan`, with its shapes."""

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    z: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_softplus: bool = False

    @property
    def tensors(self) -> list[Tensor]:
        """All but the options that are left out."""
        return [x for x in self if isinstance(x, Tensor)]

    @property
    def dtype(self) -> torch.dtype:
        """The precision to compute in: double if one argument has it, else single."""
        return torch.float64 if any(x.dtype == torch.float64 for x in self.tensors) else torch.float32


def scan(given: Arguments, form: Form) -> tuple[Tensor, Tensor]:
    """Outputs (B, D, L) in u's dtype and the last state (B, D, N) in the precision computed in."""
    batch, channels, _ = given.u.shape
    A, B, C, D, bias = (None if x is None else x.to(given.dtype) for x in (*given[2:6], given.delta_bias))
    groups = math.lcm(_groups(B), _groups(C))
    A = A.unflatten(0, (groups, -1)).transpose(1, 2).repeat(batch, 1, 1)  # (B groups, N, D / groups)
    B, C = (_by_group(x, groups, like=given.u) for x in (B, C))
    arguments = Given(given.u, given.dt, given.z, A, B, C, D, bias)
    y, last = SelectiveScan.apply(form, given.delta_softplus, *arguments)
    return y, last.transpose(1, 2).reshape(batch, channels, -1)


def _groups(x: Tensor) -> int:
    """Groups of channels that share B or C; each channel is its own where they do not depend on time."""
    return {2: len(x), 3: 1, 4: x.shape[1]}[x.dim()]


def _by_group(x: Tensor, groups: int, *, like: Tensor) -> Tensor:
    """B or C as (L, B groups, N), for u (B, D, L)."""
    if x.dim() == 2:  # (D, N)
        return x.expand(like.shape[2], len(like), -1, -1).flatten(1, 2).contiguous()
    x = x.unsqueeze(1) if x.dim() == 3 else x  # (B, G, N, L)
    return x.repeat_interleave(groups // x.shape[1], dim=1).permute(3, 0, 1, 2).flatten(1, 2).contiguous()
