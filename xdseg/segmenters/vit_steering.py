"""Steers of a plain vision transformer: what a site asks, laid over its whole sequence [queries | prefix | patches]."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Features, Steer
from xdseg.segmenters.steering import INPUT, PREDICT, Steering, steering_of

if TYPE_CHECKING:  # that module runs blocks with what is made here
    from xdseg.segmenters.vit import Tokens


@dataclass(frozen=True)
class Guided:
    """More than a mask or bias for one block; parts that are None leave it as it is."""

    mask: Tensor | None = None  # as a block takes it
    values: Tensor | None = None  # (B, heads or 1, T, 1), factor on what tokens give
    gate: Tensor | None = None  # (B, T, 1), factor on what the attention makes of each token


def patch_bias(
    site: str, tokens: "Tokens", steer: Steer | None, *, maps: Mapping[str, Tensor] | None = None
) -> Tensor | Guided | None:
    """What a steer adds where patches attend to patches, over the whole sequence (.., T, T); None: nothing.

    Factors on values reach all rows, those of queries and prefix too, as tokens give all rows the same.
    """
    given = steering_of(steer and asked(site, tokens, steer, maps=maps or {}))
    if given is None:
        return None
    patches, before = tokens.grid[0] * tokens.grid[1], tokens.before
    bias = given.bias
    if bias is not None:
        bias = F.pad(_four(bias).expand(-1, -1, patches, patches), (before, 0, before, 0))
    if given.values is None and given.gate is None:
        return bias
    values, gate = (
        part if part is None else F.pad(part, (0, 0, before, 0), value=1) for part in (given.values, given.gate)
    )
    return Guided(bias, values, gate)


def query_steering(
    site: str,
    tokens: "Tokens",
    steer: Steer | None,
    *,
    queries: int,
    maps: Mapping[str, Tensor],
    predict: Callable[[], Any] | None = None,
) -> Steering | None:
    """The same where the first tokens, `queries` in number, attend to patches: bias and opened keys, (.., T, T).

    Raises BadInput for factors: queries read the same values as all others.
    """
    given = steering_of(steer and asked(site, tokens, steer, maps=maps, predict=predict))
    if given is None:
        return None
    if given.values is not None or given.gate is not None:
        raise BadInput(f"{site}: queries beside patches take a bias or opened keys alone; steer the block itself")
    patches, before = tokens.grid[0] * tokens.grid[1], tokens.before
    bias, opened = (
        part
        if part is None
        else F.pad(_four(part).expand(-1, -1, queries, patches), (before, 0, 0, before + patches - queries))
        for part in (given.bias, given.opened)
    )
    return Steering(bias, opened)


def asked(
    site: str,
    tokens: "Tokens",
    steer: Steer,
    *,
    maps: Mapping[str, Tensor],
    predict: Callable[[], Any] | None = None,
) -> Tensor | Steering | None:
    """What a steer says of a site, where it sees maps and the patches that enter the block."""
    context = {INPUT: tokens.patches} | ({} if predict is None else {PREDICT: predict})
    return steer(site, Features(maps, context=context), tokens.grid)


def _four(bias: Tensor) -> Tensor:
    return bias[(None,) * (4 - bias.ndim)]


def joined(mask: Tensor | None, *biases: Tensor | None) -> Tensor | None:
    """A mask, true where a key may be seen, and biases, as what a block takes; None if there is nothing of them."""
    present = [bias for bias in biases if bias is not None]
    if not present:
        return mask
    total = sum(present[1:], present[0])
    return total if mask is None else torch.where(mask, total, -torch.inf)


def with_mask(mask: Tensor | None, own: Tensor | Guided | None, cross: Steering | None) -> Tensor | Guided | None:
    """A block's own mask with what steers patches and queries, as `xdseg.segmenters.vit.run` takes it."""
    if cross is not None and cross.opened is not None and mask is not None:
        mask = mask | cross.opened
    bias = own.mask if isinstance(own, Guided) else own
    total = joined(mask, bias, cross and cross.bias)
    return replace(own, mask=total) if isinstance(own, Guided) else total


@contextmanager
def scaled(attention: nn.Module, given: Guided) -> Iterator[None]:
    """Within the block, timm's attention runs with these factors.

    Raises BadInput for an attention whose values no layer of its own makes (EVA-02 with joint biases).
    """
    hooks = []
    try:
        if given.values is not None:
            hooks.append(_value_layer(attention).register_forward_hook(_on_values(attention, given.values)))
        if given.gate is not None:
            hooks.append(attention.register_forward_hook(lambda module, inputs, x: x * given.gate.to(x.dtype)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _value_layer(attention: nn.Module) -> nn.Module:
    if getattr(attention, "v_proj", None) is not None:
        return attention.v_proj
    if getattr(attention, "q_bias", None) is not None and not attention.qkv_bias_separate:
        raise BadInput("this encoder's values cannot be scaled; take tma.kind bias")
    return attention.qkv


def _on_values(attention: nn.Module, factor: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """A hook on the layer that makes values, or queries, keys and values side by side."""
    parts = 1 if getattr(attention, "v_proj", None) is not None else 3

    def hook(module: nn.Module, inputs: Any, x: Tensor) -> Tensor:
        *others, values = x.chunk(parts, dim=-1)
        heads = values.unflatten(-1, (attention.num_heads, -1))  # (B, T, heads, D / heads)
        return torch.cat([*others, (heads * factor.transpose(1, 2).to(x.dtype)).flatten(2)], dim=-1)

    return hook
