"""Dropout and stochastic depth that do not depend on how many processes share a batch.

Networks draw such masks from the global generators, one row per image. Within `whole_draws` each process draws the
masks of all images of the round, as one process would, and takes its own rows; its generators therefore stand where
one process's would stand. The draws are caught where torch is called, so networks need not know of it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from xdseg.errors import BadInput
from xdseg.training.ranks import alone, image_share


def whole_draws() -> AbstractContextManager:
    """Within the block, a forward pass draws for the whole batch; alone it is as ever."""
    return nullcontext() if alone() else _WholeDraws()


class _WholeDraws(TorchFunctionMode):
    """Changes what the functions of `HANDLERS` draw; a function of `REFUSED` that would draw ends the run."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        handler = HANDLERS.get(func)
        return func(*args, **(kwargs or {})) if handler is None else handler(func, *args, **(kwargs or {}))


def _dropout(func: Callable, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return func(input, p=p, training=training, inplace=inplace)
    share = image_share(len(input))
    noise = func(_ones(input, share.total), p=p, training=True)[share.rows]
    return input.mul_(noise) if inplace else input * noise


def _bernoulli(func: Callable, input: Tensor, *args: Any, **options: Any) -> Tensor:
    share = image_share(len(input))
    drawn = func(input.new_empty(share.total, *input.shape[1:]), *args, **options)
    return input.copy_(drawn[share.rows])


def _attention(func: Callable, *args: Any, dropout_p: float = 0.0, **options: Any) -> Tensor:
    if dropout_p:
        raise BadInput("runtime.processes: attention with dropout inside cannot be divided; set it to 1")
    return func(*args, dropout_p=dropout_p, **options)


def _refused(func: Callable, *args: Any, **options: Any) -> Tensor:
    raise BadInput(f"runtime.processes: a network that draws by {func.__name__} cannot be divided; set it to 1")


def _ones(like: Tensor, rows: int) -> Tensor:
    """Ones of so many rows, laid out in memory as `like` is: masks are drawn in the order of memory."""
    order = sorted(range(like.ndim), key=like.stride, reverse=True)
    shape = (rows, *like.shape[1:])
    back = sorted(range(like.ndim), key=order.__getitem__)
    return like.new_ones([shape[axis] for axis in order]).permute(back)


HANDLERS = {
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.dropout3d), _dropout),
    torch.Tensor.bernoulli_: _bernoulli,
    F.scaled_dot_product_attention: _attention,
    **dict.fromkeys((F.alpha_dropout, F.feature_alpha_dropout, F.rrelu, F.gumbel_softmax, torch.bernoulli), _refused),
}
