"""One batch over several processes: which of its images are here, and what is counted or drawn over all of them.

Each process (rank) has a share of every round's images and adds its part of each loss: a sum over its own images,
divided by the count over all processes. Parts add up to the loss of one process with the whole batch, and so do their
gradients, which is why nothing is averaged. Whatever is drawn per image is drawn for the whole batch by every process,
which then keeps its own rows: an image sees what it would see in one process.

Alone, every function here gives back what it was handed, bit for bit. Everything else is made of sums over processes,
so that gloo on CPUs and NCCL on GPUs take the same path; all processes must call in the same order.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from xdseg.errors import BadInput


@dataclass(frozen=True)
class Share:
    """Rows `first` to `first + count` of `total`."""

    first: int
    count: int
    total: int

    @property
    def rows(self) -> slice:
        """Where they lie."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True)
class Ranks:
    """This process among all that share a batch, and how many images each round has over all of them."""

    rank: int = 0
    world: int = 1
    images: int = 0  # 0: not known yet

    def share(self, total: int) -> Share:
        """Of so many rows those of this process; shares differ by one row at most."""
        first, end = (total * number // self.world for number in (self.rank, self.rank + 1))
        return Share(first, end - first, total)


_ranks = Ranks()


def current() -> Ranks:
    """This process among others."""
    return _ranks


def alone() -> bool:
    """Whether one process has the whole batch."""
    return _ranks.world == 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return _ranks.rank == 0


def say(line: str) -> None:
    """Print a line once."""
    if is_first():
        print(line, flush=True)


@contextmanager
def sharing(ranks: Ranks) -> Iterator[None]:
    """Within the block, be that process."""
    global _ranks
    before, _ranks = _ranks, ranks
    try:
        yield
    finally:
        _ranks = before


def divide(images: int) -> None:
    """Say how many images each round has over all processes. Raises BadInput if that is not one for each."""
    global _ranks
    if alone():
        return
    if images < _ranks.world:
        raise BadInput(f"runtime.processes: {_ranks.world} are more than the {images} images of a round; set fewer")
    _ranks = Ranks(_ranks.rank, _ranks.world, images)


def places(batch: int, *, rounds: int) -> Sequence[int]:
    """Places in a batch of the images that this process has, round by round."""
    if alone():
        return range(batch)
    size = batch // rounds
    share = current().share(size)
    return [size * number + place for number in range(rounds) for place in range(size)[share.rows]]


def image_share(rows: int) -> Share:
    """Where rows, one per image that this process has, lie in the round. Raises BadInput if they are not its images."""
    if alone():
        return Share(0, rows, rows)
    share = _ranks.share(_ranks.images)
    if share.count != rows:
        raise BadInput(
            f"runtime.processes: something has {rows} rows where a process has {share.count} images, and cannot be "
            "divided among processes; set it to 1"
        )
    return share


def row_share(rows: int, like: torch.device) -> Share:
    """Where rows of any number, such as matched masks, lie among those of all processes."""
    if alone():
        return Share(0, rows, rows)
    counts = torch.zeros(_ranks.world, dtype=torch.int64, device=like)
    counts[_ranks.rank] = rows
    found = global_sum(counts).tolist()
    return Share(sum(found[: _ranks.rank]), rows, sum(found))


def whole(rows: int) -> int:
    """Images of the round over all processes, of which this one has `rows`."""
    return image_share(rows).total


def part(rows: int) -> float:
    """What a mean over this process's images counts for in the mean over all of them; 1 alone."""
    share = image_share(rows)
    return share.count / share.total


class _Sum(torch.autograd.Function):
    """The sum over processes; each one's loss depends on it, so gradients are summed likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def global_sum(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, with gradient; alone the very same tensor."""
    return x if alone() else _Sum.apply(x)


def highest(value: float, device: torch.device) -> float:
    """The highest of the processes' values."""
    if alone():
        return value
    found = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return float(found)


def mean_of_rows(rows: Tensor) -> Tensor:
    """Mean over the first dimension of rows (n, ...), n of any number, and over processes; there must be a row."""
    if alone():
        return rows.mean(0)
    return global_sum(rows.sum(0)) / global_sum(torch.tensor(len(rows), device=rows.device))


@torch.no_grad()
def gathered(x: Tensor) -> Tensor:
    """Rows (b, ...) of this process's images to those of the whole round (B, ...), without gradient."""
    if alone():
        return x
    share = image_share(len(x))
    rows = x.new_zeros(share.total, *x.shape[1:], dtype=torch.int32 if x.dtype == torch.bool else x.dtype)
    rows[share.rows] = x.to(rows.dtype)
    return global_sum(rows).to(x.dtype)  # each row is one process's, and 0 from all others: exact


def own(rows: Sequence) -> Sequence:
    """Of rows of the whole round (tensor or list) those of this process's images."""
    if alone():
        return rows
    if len(rows) != _ranks.images:
        raise BadInput(
            f"runtime.processes: {len(rows)} rows cannot be divided like the {_ranks.images} images of a round; "
            "set an even training.batch, or processes to 1"
        )
    return rows[_ranks.share(_ranks.images).rows]


def rand(
    rows: int,
    *shape: int,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    share: Share | None = None,
) -> Tensor:
    """`torch.rand(rows, *shape)` for this process's images, or for its `share` of other rows; all draw for all."""
    share = share or image_share(rows)
    drawn = torch.rand(share.total, *shape, generator=generator, device=device)
    return drawn if alone() else drawn[share.rows]


def sum_gradients(parameters: Sequence[torch.nn.Parameter], *, bucket: int = 1 << 23) -> None:
    """Make each gradient the sum over processes, `bucket` numbers at a time; alone nothing is done.

    A parameter without gradient in some processes counts as 0 there; without in all, it stays without.
    """
    if alone():
        return
    has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device)
    touched = [p for p, any_has in zip(parameters, global_sum(has).tolist(), strict=True) if any_has]
    for parameter in touched:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for some in _buckets(touched, bucket):
        flat = torch.cat([p.grad.reshape(-1) for p in some])
        dist.all_reduce(flat)
        for parameter, total in zip(some, flat.split([p.numel() for p in some]), strict=True):
            parameter.grad.copy_(total.view_as(parameter.grad))


def _buckets(parameters: Sequence[torch.nn.Parameter], limit: int) -> Iterator[list[torch.nn.Parameter]]:
    """Neighbours of one type, up to so many numbers together."""
    ends, held = [0], 0
    for number, parameter in enumerate(parameters):
        if number and (held + parameter.numel() > limit or parameter.dtype != parameters[number - 1].dtype):
            ends, held = [*ends, number], 0
        held += parameter.numel()
    for first, end in pairwise([*ends, len(parameters)]):
        if end > first:
            yield list(parameters[first:end])
