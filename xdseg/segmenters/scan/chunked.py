"""The selective scan for accelerators: all chunks side by side, then what each hands to the next.

Two levels of about the square root of the length: each chunk is scanned from an empty state, all of them at once; the
true states before the chunks follow from their ends, one by one; then each step adds what is left of the state before
its chunk. What is left is exp(A sum dt), at most 1, so that nothing overflows as quotients of cumulative products
would. Gradients go the same ways backwards. All states are held at once, but only while a pass runs: between forward
and backward pass one per chunk is kept.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from xdseg.segmenters.scan.chunk import Stretch, advance, decays, gradients, outer, over_states, retreat


def scan(given: Stretch) -> tuple[Tensor, Tensor]:
    """Outputs y (T, S, D) and the last state (S, N, D). Differentiable once."""
    length, sequences = given.u.shape[:2]
    size = math.isqrt(length - 1) + 1
    split = [side_by_side(x, size) for x in (given.u, given.dt, given.B, given.C)]
    u, dt, B, C = split
    y, last = ChunkedScan.apply(u, dt, given.A, B, C)
    return y.view(size, -1, sequences, y.shape[-1]).transpose(0, 1).flatten(0, 1)[:length], last


def side_by_side(x: Tensor, size: int) -> Tensor:
    """(T, S, ...) as chunks of `size` steps beside each other, (size, chunks S, ...).

    Filled up with zeros: where dt is 0 a state stays as it is.
    """
    chunks = -(-len(x) // size)
    padded = F.pad(x, (0, 0, 0, 0, 0, chunks * size - len(x)))
    return padded.unflatten(0, (chunks, size)).transpose(0, 1).flatten(1, 2).contiguous()


class ChunkedScan(torch.autograd.Function):
    """Inputs as of Stretch, chunks side by side: S sequences in K chunks are K S, but A has S."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (size, K S, D), last state (S, N, D)."""
        given = Stretch(u, dt, _for_all(A, u), B, C)
        a, h = _states(given, start=None)
        starts, last = _carry(h[-1], decays(dt.sum(0, keepdim=True), given.A)[0], A.new_zeros(A.shape))
        left = decays(dt.cumsum(0), given.A, out=a)  # of the state before a chunk
        y = over_states(C, h.addcmul_(left, starts), out=torch.empty_like(u))
        ctx.save_for_backward(u, dt, A, B, C, starts)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_y: Tensor, grad_last: Tensor) -> tuple[Tensor, ...]:
        """Gradients of u, dt, A, B and C."""
        u, dt, A, B, C, starts = ctx.saved_tensors
        given, grad_y = Stretch(u, dt, _for_all(A, u), B, C), grad_y.contiguous()
        a, h = _states(given, start=starts)
        g = outer(C, grad_y)
        of_starts = retreat(g.unbind(0), a.unbind(0), torch.zeros_like(starts))
        left = decays(dt.sum(0, keepdim=True), given.A)[0]
        ends, _ = _carry(of_starts, left, grad_last, backwards=True)
        g.addcmul_(decays(_to_come(dt), given.A), ends)
        found = given.room()
        gradients(given, grad_y, a=a, h=h, g=g, start=starts, out=found)
        return tuple(found._replace(A=found.A.view(-1, *A.shape).sum(0)))


def _to_come(dt: Tensor) -> Tensor:
    """Sums of the steps that follow each, (size, K S, D); not by subtraction, which loses small ones beside large."""
    sums = dt.flip(0).cumsum(0).flip(0)
    return torch.cat((sums[1:], torch.zeros_like(sums[:1])))


def _for_all(A: Tensor, u: Tensor) -> Tensor:
    """A (S, N, D) for each of K chunks, (K S, N, D)."""
    return A.repeat(u.shape[1] // len(A), 1, 1)


def _states(given: Stretch, *, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """Decays and states (T, K S, N, D) from the states before the chunks, or from empty ones."""
    a, h = decays(given.dt, given.A), outer(given.B, given.dt * given.u)
    advance(h.unbind(0), a.unbind(0), torch.zeros_like(given.A) if start is None else start)
    return a, h


def _carry(ends: Tensor, left: Tensor, start: Tensor, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
    """States before all chunks (K S, N, D), and the one after the last (S, N, D).

    Of the ends that chunks reach from an empty state, what is left of a state after a chunk, both (K S, N, D), and the
    state before the first (S, N, D). Backwards, the last chunk is the first.
    """
    order = list(zip(ends.split(len(start)), left.split(len(start)), strict=True))
    found = []
    for end, share in reversed(order) if backwards else order:
        found.append(start)
        start = torch.addcmul(end, share, start)
    return torch.cat(found[::-1] if backwards else found), start
