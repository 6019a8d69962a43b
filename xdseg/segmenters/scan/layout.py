"""The selective scan around its recurrence: upstream's layouts to time first and back, step sizes, skip and gate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.scan.chunk import Stretch

Scan = Callable[[Stretch], tuple[Tensor, Tensor]]  # outputs (T, S, D) and last state (S, N, D)


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


def framed(given: Arguments, *, scan: Scan) -> tuple[Tensor, Tensor]:
    """Outputs (B, D, L) and the last state (B, D, N), both in the dtype of the arguments, which is one."""
    u, dt = _time_first(given.u), _step_sizes(given)
    groups = math.lcm(_groups(given.B), _groups(given.C))
    sequences = u.shape[1] * groups
    A = given.A.unflatten(0, (groups, -1)).transpose(1, 2).expand(u.shape[1], -1, -1, -1).flatten(0, 1)
    B, C = (_by_group(x, groups, like=u) for x in (given.B, given.C))
    parts = [x.reshape(len(u), sequences, -1) for x in (u, dt)]
    y, last = scan(Stretch(*parts, A.contiguous(), B, C))
    y, last = y.reshape(u.shape), last.transpose(1, 2).reshape(u.shape[1], u.shape[2], -1)
    y = y if given.D is None else y.addcmul(u, given.D)
    y = y if given.z is None else y * F.silu(_time_first(given.z))
    return y.permute(1, 2, 0), last


def _time_first(x: Tensor) -> Tensor:
    """(B, D, L) to (L, B, D)."""
    return x.permute(2, 0, 1).contiguous()


def _step_sizes(given: Arguments) -> Tensor:
    dt = _time_first(given.dt)
    dt = dt if given.delta_bias is None else dt + given.delta_bias
    return F.softplus(dt) if given.delta_softplus else dt


def _groups(x: Tensor) -> int:
    """Groups of channels that share B or C; each channel is its own where they do not depend on time."""
    return {2: len(x), 3: 1, 4: x.shape[1]}[x.dim()]


def _by_group(x: Tensor, groups: int, *, like: Tensor) -> Tensor:
    """B or C as (L, B groups, N), for u (L, B, D)."""
    length, batch = like.shape[:2]
    if x.dim() == 2:  # (D, N)
        return x.expand(length, batch, -1, -1).flatten(1, 2).contiguous()
    x = x.unsqueeze(1) if x.dim() == 3 else x  # (B, G, N, L)
    return x.repeat_interleave(groups // x.shape[1], dim=1).permute(3, 0, 1, 2).flatten(1, 2).contiguous()
