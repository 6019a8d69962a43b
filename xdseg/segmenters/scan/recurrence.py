"""The linear recurrence of a chunk's states, and that of their gradients, each in two forms.

Streaming, for processors: step by step through a chunk that fits the cache. Chunked, on two levels, for accelerators,
where a call costs more than what it computes: parts of about the square root of the length lie side by side and are
scanned from an empty state, all at once; the true states before the parts follow, one by one, by what each part leaves
of a state; then all parts are scanned from these. What is left is exp(A sum dt), at most 1, so that nothing overflows
as quotients of cumulative products would.

Decays a, states h and gradients g of T steps are (T, S, N, D), changed in place; a state is (S, N, D).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Rows = Sequence[Tensor]  # views of the steps: of one sequence (S, N, D), or of K parts side by side (K, S, N, D)


@dataclass(frozen=True)
class Steps:
    """States of a chunk, also step by step: to take the steps apart once, for all chunks, saves a tenth of the time."""

    whole: Tensor
    rows: Rows

    def first(self, count: int) -> "Steps":
        """The first steps alone."""
        return Steps(self.whole[:count], self.rows[:count])


def room(count: int, *, like: Tensor) -> Steps:
    """Room for that many states."""
    whole = like.new_empty(count, *like.shape)
    return Steps(whole, whole.unbind(0))


def advance(h: Rows, a: Rows, start: Tensor) -> None:
    """Inputs h become states, from the state before the first step."""
    for now, decay in zip(h, a, strict=True):
        start = now.addcmul_(decay, start)


def retreat(g: Rows, a: Rows, carry: Tensor) -> Tensor:
    """What outputs want of states, g, becomes the states' gradient, last step first.

    `carry` is the gradient of the last state from what comes after it; returned is that of the state before the first.
    """
    after = g[-1].add_(carry)
    for now, decay in zip(g[-2::-1], a[:0:-1], strict=True):
        after = now.addcmul_(decay, after)
    return a[0] * after


def advance_parts(h: Steps, a: Steps, start: Tensor) -> None:
    """As `advance`, on two levels; the steps that fill no part come last."""
    (parts, rest), (decays, rest_decays) = _split(h), _split(a)
    ends = parts[0]
    for now, decay in zip(parts[1:], decays[1:], strict=True):
        ends = torch.addcmul(now, decay, ends)
    starts = [start]
    for end, left in zip(ends, _products(decays), strict=True):
        starts.append(torch.addcmul(end, left, starts[-1]))
    advance(parts, decays, torch.stack(starts[:-1]))
    advance(rest, rest_decays, starts[-1])


def retreat_parts(g: Steps, a: Steps, carry: Tensor) -> Tensor:
    """As `retreat`, on two levels."""
    (parts, rest), (decays, rest_decays) = _split(g), _split(a)
    carry = retreat(rest, rest_decays, carry) if rest else carry
    after = parts[-1]
    for now, decay in zip(parts[-2::-1], decays[:0:-1], strict=True):
        after = torch.addcmul(now, decay, after)
    carries = [carry]
    for of_start, left in zip((decays[0] * after).flip(0), _products(decays).flip(0), strict=True):
        carries.append(torch.addcmul(of_start, left, carries[-1]))
    retreat(parts, decays, torch.stack(carries[-2::-1]))
    return carries[-1]


def _split(x: Steps) -> tuple[Rows, Rows]:
    """Steps of K parts side by side, each (K, S, N, D), and the steps after the last part."""
    size = math.isqrt(len(x.rows))
    count = len(x.rows) // size
    return x.whole[: count * size].unflatten(0, (count, size)).unbind(1), x.rows[count * size :]


def _products(decays: Rows) -> Tensor:
    """What each part leaves of a state, (K, S, N, D)."""
    left = decays[0]
    for decay in decays[1:]:
        left = left * decay
    return left


@dataclass(frozen=True)
class Form:
    """How a scan is done: states of how many bytes are there at once, and how they advance and retreat."""

    chunk_bytes: int
    advance: Callable[[Steps, Steps, Tensor], None]
    retreat: Callable[[Steps, Steps, Tensor], Tensor]


FORMS = {
    # larger buffers leave a processor's caches, smaller ones spend their time in calls
    "streaming": Form(
        2 << 20,
        advance=lambda h, a, start: advance(h.rows, a.rows, start),
        retreat=lambda g, a, carry: retreat(g.rows, a.rows, carry),
    ),
    "chunked": Form(256 << 20, advance=advance_parts, retreat=retreat_parts),
}
