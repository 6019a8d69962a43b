"""What surrounds the recurrence in a selective scan, chunk by chunk, forwards and backwards: step sizes, skip, gate.

Done chunk by chunk, they stay in the cache, and nothing as long as the sequence is made but results.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Edges(NamedTuple):
    """Arguments of T steps for a batch of B, in the precision computed in; or what gradients come from here."""

    u: Tensor | None  # (T, B, D)
    dt: Tensor | None  # (T, B, D): arguments of the step sizes, bias added
    D: Tensor | None  # (D)
    z: Tensor | None  # (T, B, D)


def time_first(x: Tensor, part: slice, *, like: Tensor) -> Tensor:
    """Some steps of (B, D, L) as (T, B, D), contiguous, in the dtype of `like`."""
    return x[..., part].permute(2, 0, 1).to(like.dtype).contiguous()


def step_sizes(dt: Tensor, *, softplus: bool) -> Tensor:
    """Of their arguments."""
    return F.softplus(dt) if softplus else dt


def step_sizes_back(dt: Tensor, grad: Tensor, *, softplus: bool) -> Tensor:
    """The gradient of the arguments."""
    return grad * dt.sigmoid() if softplus else grad


def leave(edges: Edges, y: Tensor) -> Tensor:
    """Outputs of what the recurrence gives, y (T, B, D): skip, then gate."""
    y = y if edges.D is None else y.addcmul(edges.u, edges.D)
    return y if edges.z is None else y * F.silu(edges.z)


def leave_back(edges: Edges, y: Tensor | None, grad: Tensor) -> tuple[Tensor, Edges]:
    """The gradients of y and of what skip and gate read, for that of the outputs. Without a gate y is not needed."""
    of_z = None
    if edges.z is not None:
        share = edges.z.sigmoid()
        gate = edges.z * share  # silu
        of_z = grad * leave(edges._replace(z=None), y) * (share + gate - gate * share)
        grad = grad * gate
    if edges.D is None:
        return grad, Edges(None, None, None, of_z)
    return grad, Edges(grad * edges.D, None, (grad * edges.u).sum((0, 1)), of_z)
