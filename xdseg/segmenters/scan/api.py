"""The selective scan of Mamba (S6; Gu & Dao, 2023) with the shapes and options of mamba-ssm's function.

Departs from it: A is real; double precision stays double; the last state is of the precision computed in.
"""

import torch
from torch import Tensor

from xdseg.segmenters.scan.backends import KERNEL, Backend, kernel, resolve
from xdseg.segmenters.scan.layout import Arguments, scan
from xdseg.segmenters.scan.recurrence import FORMS

MOST_STATES = 256  # per channel, in mamba-ssm's kernel


@torch.compiler.disable  # a compiler would unroll its loops
def selective_scan(
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
    return_last_state: bool = False,
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Outputs (B, D, L) in u's dtype; with `return_last_state` also the state at the end (B, D, N).

    u, dt, z: (B, D, L), L at least 1. A: (D, N), real; negative for a scan that forgets. B and C: (B, N, L); or
    (B, G, N, L), each of G groups serving D / G neighbouring channels; or (D, N), the same at all times, which
    takes as much memory as all states do. D, delta_bias: (D). In this order: bias, softplus, recurrence from an empty
    state, skip D u, gate silu(z). Computed in single precision at least, under autocast too; differentiable once.
    Raises ValueError for shapes that do not fit, BadInput for a backend that was asked for by name and cannot run.
    """
    given = Arguments(u, dt, A, B, C, D, z, delta_bias, delta_softplus)
    _check(given)
    fits = A.shape[1] <= MOST_STATES and given.dtype == torch.float32
    chosen = resolve(backend, u.device.type, fits=fits).name
    with torch.autocast(u.device.type, enabled=False):
        y, last = _by_kernel(given) if chosen == KERNEL else scan(given, FORMS[chosen])
    return (y, last) if return_last_state else y


def _by_kernel(given: Arguments) -> tuple[Tensor, Tensor]:
    """Of mamba-ssm, given everything in single precision."""
    run, _ = kernel()
    *tensors, softplus = (x.float() if isinstance(x, Tensor) else x for x in given)
    y, last = run(*tensors, delta_softplus=softplus, return_last_state=True)
    return y.to(given.u.dtype), last


def _check(given: Arguments) -> None:
    """Raises ValueError for shapes that broadcasting might take and that are wrong, and for complex A."""
    batch, channels, length = given.u.shape
    states = given.A.shape[1]
    if given.A.is_complex():
        raise ValueError("selective scan: A is complex; give a real one")
    if length < 1:
        raise ValueError("selective scan: the sequence is empty")
    like_u = {name: getattr(given, name) for name in ("dt", "z")}
    shapes = {name: (x, given.u.shape) for name, x in like_u.items() if x is not None} | {
        name: (x, (channels,)) for name in ("D", "delta_bias") if (x := getattr(given, name)) is not None
    }
    for name, (x, shape) in (shapes | {"A": (given.A, (channels, states))}).items():
        if x.shape != torch.Size(shape):
            raise ValueError(f"selective scan: {name} is {tuple(x.shape)}, not {tuple(shape)}")
    for name, x in (("B", given.B), ("C", given.C)):
        groups = x.shape[1] if x.dim() == 4 else 1
        fitting = {2: (channels, states), 3: (batch, states, length), 4: (batch, groups, states, length)}
        if tuple(x.shape) != fitting.get(x.dim()) or channels % groups:
            raise ValueError(f"selective scan: {name} is {tuple(x.shape)}, for {channels} channels, {states} states")
