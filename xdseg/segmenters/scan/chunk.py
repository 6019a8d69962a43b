"""One stretch of a selective scan and its gradients, time first: what the streaming and the chunked form share.

    h_t = exp(dt_t A) h_{t-1} + B_t dt_t u_t,    y_t = <C_t, h_t>

Throughout, T steps run for S independent sequences (batch times groups) of D channels with N states each: u, dt and y
(T, S, D); A and a state h (S, N, D); B and C (T, S, N); all contiguous and of one dtype. With channels last, each
broadcast is along whole rows, and a step's states lie together. The exponential is taken to base 2 with A scaled
beforehand, which torch computes three times as fast on a processor as the natural one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LOG2_E = math.log2(math.e)

Rows = Sequence[Tensor]  # one tensor (S, N, D) per step, views of one (T, S, N, D)


class Stretch(NamedTuple):
    """Inputs of T steps, as above."""

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor

    def steps(self, part: slice) -> "Stretch":
        """Some of the steps, as views."""
        return Stretch(self.u[part], self.dt[part], self.A, self.B[part], self.C[part])

    def room(self) -> "Stretch":
        """Room for the gradients of all inputs; that of A begins at 0, as it is a sum over steps."""
        return Stretch(*(torch.empty_like(x) for x in self))._replace(A=torch.zeros_like(self.A))


def decays(dt: Tensor, A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """exp(dt A) (T, S, N, D): what a step leaves of each state, at most 1 where A is negative."""
    return torch.mul(dt.unsqueeze(2), A * LOG2_E, out=out).exp2_()


def outer(weights: Tensor, channels: Tensor, *, out: Tensor | None = None) -> Tensor:
    """(T, S, N, D), of (T, S, N) and (T, S, D)."""
    return torch.mul(weights.unsqueeze(3), channels.unsqueeze(2), out=out)


def over_states(weights: Tensor, x: Tensor, *, out: Tensor) -> Tensor:
    """Sums over the states of x (T, S, N, D), weighted by (T, S, N): out (T, S, D)."""
    torch.bmm(weights.flatten(0, 1).unsqueeze(1), x.flatten(0, 1), out=out.view(-1, 1, out.shape[-1]))
    return out


def over_channels(weights: Tensor, x: Tensor, *, out: Tensor) -> Tensor:
    """Sums over the channels of x (T, S, N, D), weighted by (T, S, D): out (T, S, N)."""
    turned = x.flatten(0, 1).transpose(1, 2)
    torch.bmm(weights.flatten(0, 1).unsqueeze(1), turned, out=out.view(-1, 1, out.shape[-1]))
    return out


def advance(h: Rows, a: Rows, start: Tensor) -> None:
    """Inputs h, a row (S, N, D) a step, become states, in place, from the state before the first step."""
    for now, decay in zip(h, a, strict=True):
        start = now.addcmul_(decay, start)


def retreat(g: Rows, a: Rows, carry: Tensor) -> Tensor:
    """What outputs want of states, g, becomes the states' gradient, in place, last step first.

    `carry` is the gradient of the last state from what comes after it; returned is that of the state before the first.
    """
    after = g[-1].add_(carry)
    for now, decay in zip(g[-2::-1], a[:0:-1], strict=True):
        after = now.addcmul_(decay, after)
    return a[0] * after


def gradients(given: Stretch, grad_y: Tensor, *, a: Tensor, h: Tensor, g: Tensor, start: Tensor, out: Stretch) -> None:
    """Of all inputs, from the decays a, states h and states' gradients g (T, S, N, D) and the state before the first.

    Written to `out`, that of A added to it. Overwrites a and h.
    """
    over_channels(given.dt * given.u, g, out=out.B)
    over_channels(grad_y, h, out=out.C)
    of_input = over_states(given.B, g, out=out.u)  # that is, of dt u
    a[0].mul_(start)
    a[1:].mul_(h[:-1])
    a.mul_(g)  # the gradient of dt A
    torch.sum(torch.mul(a, given.A, out=h), 2, out=out.dt).addcmul_(of_input, given.u)
    of_input.mul_(given.dt)
    out.A.add_(a.mul_(given.dt.unsqueeze(2)).sum(0))
