"""The selective scan for processors: chunk after chunk, small enough for the cache, with a backward pass of its own.

Of the states only those before each chunk are kept; the backward pass computes a chunk's states again, then runs
the recurrence of the gradients through it from its end. Memory beyond inputs and outputs is four chunks of states and
one state per chunk.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from xdseg.segmenters.scan.chunk import Stretch, advance, decays, gradients, outer, over_states, retreat

CHUNK_BYTES = 2 << 20  # of a chunk's states: larger buffers leave the caches, smaller ones spend their time in calls
LEAST_STEPS = 8  # in a chunk, whatever its size: fewer spend their time in calls


def scan(given: Stretch) -> tuple[Tensor, Tensor]:
    """Outputs y (T, S, D) and the last state (S, N, D). Differentiable once."""
    return StreamingScan.apply(*given)


class StreamingScan(torch.autograd.Function):
    """Inputs as of Stretch."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, S, D), last state (S, N, D)."""
        given = Stretch(u, dt, A, B, C)
        parts = list(chunks(given))
        starts = A.new_zeros(len(parts) + 1, *A.shape)  # the last one is where the sequence ends
        y, a, h = torch.empty_like(u), Buffer(given), Buffer(given)
        for number, part in enumerate(parts):
            here = given.steps(part)
            states(here, starts[number], a=a, h=h)
            over_states(here.C, h.steps(len(here.u)), out=y[part])
            starts[number + 1] = h.rows[len(here.u) - 1]
        ctx.save_for_backward(*given, starts)
        return y, starts[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor, ...]:
        """Gradients of u, dt, A, B and C."""
        *inputs, starts = ctx.saved_tensors
        given, grad_y = Stretch(*inputs), grad_y.contiguous()
        found = given.room()
        a, h, g = (Buffer(given) for _ in range(3))
        for number, part in reversed(list(enumerate(chunks(given)))):
            here, want, size = given.steps(part), grad_y[part], len(grad_y[part])
            states(here, starts[number], a=a, h=h)
            outer(here.C, want, out=g.steps(size))
            grad_last = retreat(g.rows[:size], a.rows[:size], grad_last)
            work = {"a": a.steps(size), "h": h.steps(size), "g": g.steps(size)}
            gradients(here, want, start=starts[number], out=found.steps(part), **work)
        return tuple(found)


class Buffer:
    """Room for the states of a chunk, also step by step: to take the rows apart once saves a tenth of the time."""

    def __init__(self, given: Stretch) -> None:
        longest = len(given.u[next(chunks(given))])
        self.whole = given.A.new_empty(longest, *given.A.shape)
        self.rows = self.whole.unbind(0)

    def steps(self, count: int) -> Tensor:
        """Room for the first steps."""
        return self.whole[:count]


def states(given: Stretch, start: Tensor, *, a: Buffer, h: Buffer) -> None:
    """Fill a with the decays and h with the states of all steps."""
    size = len(given.u)
    decays(given.dt, given.A, out=a.steps(size))
    outer(given.B, given.dt * given.u, out=h.steps(size))
    advance(h.rows[:size], a.rows[:size], start)


def chunks(given: Stretch) -> Iterator[slice]:
    """The steps in parts whose states fit the cache."""
    size = max(LEAST_STEPS, CHUNK_BYTES // (given.A.numel() * given.A.element_size()))
    return (slice(first, first + size) for first in range(0, len(given.u), size))
