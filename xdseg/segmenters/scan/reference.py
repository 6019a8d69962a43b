"""What the selective scan computes, as plainly as it can be said: for tests, and to read. Not for use: it is slow."""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, D, L) and the last state (B, D, N), of the arguments of `selective_scan`, in the dtype they have.

    In this order: bias, softplus, recurrence from an empty state, skip, gate. The discretisation is zero-order hold for
    A and Euler's for B, as in Mamba's code. Differentiable as often as wanted.
    """
    dt = dt if delta_bias is None else dt + delta_bias[:, None]
    dt = F.softplus(dt) if delta_softplus else dt
    B, C = (per_channel(x, u) for x in (B, C))
    h, outputs = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for u_t, dt_t, B_t, C_t in zip(*(x.unbind(-1) for x in (u, dt, B, C)), strict=True):
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * u_t)[..., None] * B_t  # (B, D, N)
        outputs.append((C_t * h).sum(-1))
    y = torch.stack(outputs, -1)
    y = y if D is None else y + D[:, None] * u
    return y if z is None else y * F.silu(z), h


def per_channel(x: Tensor, u: Tensor) -> Tensor:
    """B or C in any of its three shapes as (B, D or 1, N, L), for u (B, D, L)."""
    if x.dim() == 2:  # (D, N): the same at all times
        return x[None, :, :, None].expand(len(u), -1, -1, u.shape[-1])
    if x.dim() == 3:  # (B, N, L): the same for all channels
        return x[:, None]
    return x.repeat_interleave(u.shape[1] // x.shape[1], dim=1)
