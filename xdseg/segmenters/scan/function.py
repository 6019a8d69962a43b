"""The selective scan as one function of autograd, chunk after chunk, which computes states anew to go backwards.

Of the states only those before each chunk are kept. The backward pass computes a chunk's states again, then runs the
recurrence of the gradients through it from its end. Beyond arguments, results and one state per chunk, both passes take
the memory of a few chunks of states, whatever the length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from xdseg.segmenters.scan.chunk import Chunk, decays, gradients, outer, over_states
from xdseg.segmenters.scan.edges import Edges, leave, leave_back, step_sizes, step_sizes_back, time_first
from xdseg.segmenters.scan.recurrence import Form, Steps, room

LEAST_STEPS = 8  # in a chunk, whatever its size: with fewer, calls take the time
SEQUENCES = 3  # arguments that come first and are as long as the sequence


class Given(NamedTuple):
    """Arguments of `SelectiveScan`: sequences in any dtype, the rest in the one computed in; S is B times groups."""

    u: Tensor  # (B, D, L)
    dt: Tensor  # (B, D, L)
    z: Tensor | None  # (B, D, L)
    A: Tensor  # (S, N, D / groups)
    B: Tensor  # (L, S, N)
    C: Tensor  # (L, S, N)
    D: Tensor | None  # (D)
    delta_bias: Tensor | None  # (D)


class SelectiveScan(torch.autograd.Function):
    """Differentiable once."""

    @staticmethod
    def forward(ctx: FunctionCtx, form: Form, softplus: bool, *arguments: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs (B, D, L) in u's dtype, last state (S, N, D / groups)."""
        ctx.form, ctx.softplus, given = form, softplus, Given(*arguments)
        parts = _parts(given, form)
        starts = given.A.new_zeros(len(parts) + 1, *given.A.shape)  # the last one is where the sequence ends
        y, buffers = _time_first_room(given.u), [room(parts[0].stop, like=given.A) for _ in range(2)]
        for number, part in enumerate(parts):
            edges, chunk = _enter(given, part, softplus=softplus)
            _, h = _states(chunk, starts[number], form, buffers)
            y[part] = leave(edges, over_states(chunk.C, h.whole).view(edges.u.shape))
            starts[number + 1] = h.rows[-1]
        ctx.save_for_backward(*arguments, starts)
        return y.permute(1, 2, 0), starts[-1].clone()

    @staticmethod
    def backward(ctx: FunctionCtx, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the arguments, in their dtypes. Raises RuntimeError where they are to be differentiated again.

        torch's own `once_differentiable` says nothing where the outputs' gradient is a constant, as that of a sum is.
        """
        if torch.is_grad_enabled():
            raise RuntimeError("selective scan: its gradient has none; differentiate without create_graph")
        *arguments, starts = ctx.saved_tensors
        given = Given(*arguments)
        parts, found = _parts(given, ctx.form), _room_for_gradients(given)
        buffers = [room(parts[0].stop, like=given.A) for _ in range(3)]
        for part, start in zip(reversed(parts), starts[:-1].flip(0), strict=True):
            edges, chunk = _enter(given, part, softplus=ctx.softplus)
            a, h = _states(chunk, start, ctx.form, buffers)
            y = None if edges.z is None else over_states(chunk.C, h.whole).view(edges.u.shape)
            want, of_edges = leave_back(edges, y, time_first(grad_y, part, like=given.A))
            want, g = want.view(chunk.u.shape), buffers[2].first(len(want))
            outer(chunk.C, want, out=g.whole)
            grad_last = ctx.form.retreat(g, a, grad_last)
            of_chunk = gradients(chunk, want, a=a.whole, h=h.whole, g=g.whole, start=start)
            of_dt = step_sizes_back(edges.dt, of_chunk.dt.view(edges.dt.shape), softplus=ctx.softplus)
            _store(found, part, of_chunk, of_edges._replace(dt=of_dt))
        sequences = (x if x is None else x.permute(1, 2, 0) for x in found[:SEQUENCES])
        return None, None, *sequences, *found[SEQUENCES:]


def _parts(given: Given, form: Form) -> list[slice]:
    """The steps in chunks of the form's size."""
    size = max(LEAST_STEPS, form.chunk_bytes // (given.A.numel() * given.A.element_size()))
    length = given.u.shape[-1]
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def _enter(given: Given, part: slice, *, softplus: bool) -> tuple[Edges, Chunk]:
    """The arguments of some steps, and what of them the recurrence reads."""
    u, dt, z = (None if x is None else time_first(x, part, like=given.A) for x in given[:SEQUENCES])
    dt = dt if given.delta_bias is None else dt + given.delta_bias
    shape = (len(u), *given.A.shape[::2])
    steps = step_sizes(dt, softplus=softplus).view(shape)
    return Edges(u, dt, given.D, z), Chunk(u.view(shape), steps, given.A, given.B[part], given.C[part])


def _states(chunk: Chunk, start: Tensor, form: Form, buffers: Sequence[Steps]) -> tuple[Steps, Steps]:
    """Decays and states of all steps, in the first two buffers."""
    a, h = (buffer.first(len(chunk.u)) for buffer in buffers[:2])
    decays(chunk.dt, chunk.A, out=a.whole)
    outer(chunk.B, chunk.dt * chunk.u, out=h.whole)
    form.advance(h, a, start)
    return a, h


def _time_first_room(x: Tensor) -> Tensor:
    """(L, B, D), for (B, D, L)."""
    return x.new_empty(x.shape[2], *x.shape[:2])


def _room_for_gradients(given: Given) -> Given:
    """Time first; sums over steps begin at 0."""
    sequences = (x if x is None else _time_first_room(x) for x in given[:SEQUENCES])
    return Given(*sequences, *(x if x is None else torch.zeros_like(x) for x in given[SEQUENCES:]))


def _store(found: Given, part: slice, chunk: Chunk, edges: Edges) -> None:
    """Put the gradients of some steps where they belong, and add up those of what all steps share."""
    for to, of_steps in ((found.B, chunk.B), (found.C, chunk.C), (found.dt, edges.dt), (found.z, edges.z)):
        if to is not None:
            to[part] = of_steps
    of_u = chunk.u.view(edges.dt.shape)
    found.u[part] = of_u if edges.u is None else of_u.add_(edges.u)
    found.A.add_(chunk.A)
    if found.D is not None:
        found.D.add_(edges.D)
    if found.delta_bias is not None:
        found.delta_bias.add_(edges.dt.sum((0, 1)))
