"""Which learning rate and weight decay a parameter gets."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import nn

from xdseg.settings.training import Training

LAST_NORMS = ("norm.", "fc_norm.")  # of timm's vision transformers: behind all blocks


def is_decayed(parameter: nn.Parameter) -> bool:
    """Norms, biases and per-channel scales have one dimension at most; they are not decayed by default."""
    return parameter.ndim > 1


def no_layer(parameter: str) -> int | None:
    """Of a network without numbered blocks."""
    return None


def timm_layer(parameter: str, *, encoder: str = "encoder.") -> int | None:
    """Block of a parameter of a vision transformer that has timm's names below the prefix `encoder`.

    Patch embedding, positions, class and register tokens belong to block 0. None for the norm behind the last block
    and for all that is not below the prefix. As EoMT groups them.
    """
    name = parameter.removeprefix(encoder)
    if name == parameter or name.startswith(LAST_NORMS):
        return None
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blocks" else 0


class _Kind(NamedTuple):
    """What the parameters of a group share; in the order of the groups."""

    part: str
    depth: int  # blocks after this one; -1 outside all blocks
    decay: str

    def name(self, layers: int) -> str:
        block = [] if self.depth < 0 else [f"layer{layers - 1 - self.depth}"]
        return ".".join([self.part, *block, self.decay])


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    recipe: Training,
    *,
    is_head: Callable[[str], bool],
    layer_of: Callable[[str], int | None] = no_layer,
    layers: int = 0,
) -> list[dict]:
    """Trainable parameters by encoder or head, by block and by decay; groups without members are left out.

    Block i of `layers` has the encoder's rate times layer_decay ** (layers - 1 - i); what is in no block has all of
    it. Groups outside blocks come first, so that the first group shows the peak; then the last block to the first one.
    """
    groups: dict[_Kind, dict] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        part, decayed = "head" if is_head(name) else "encoder", recipe.decay_all or is_decayed(parameter)
        depth = -1 if recipe.layer_decay == 1 else _depth(name, layer_of(name), layers)
        kind = _Kind(part, depth, "decay" if decayed else "plain")
        group = groups.setdefault(kind, {"params": [], **_rates(recipe, kind), "part": part})
        group["params"].append(parameter)
    return [{"name": kind.name(layers), **groups[kind]} for kind in sorted(groups)]


def _depth(name: str, layer: int | None, layers: int) -> int:
    if layer is None:
        return -1
    if not 0 <= layer < layers:
        raise ValueError(f"{name} is said to be in layer {layer} of {layers}")
    return layers - 1 - layer


def _rates(recipe: Training, kind: _Kind) -> dict[str, float]:
    rate = recipe.lr * (recipe.head_lr_factor if kind.part == "head" else 1)
    return {
        "lr": rate * recipe.layer_decay ** max(kind.depth, 0),
        "weight_decay": recipe.weight_decay if kind.decay == "decay" else 0.0,
    }
