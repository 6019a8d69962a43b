"""Which learning rate and weight decay a parameter gets."""

from collections.abc import Callable, Iterable

from torch import nn

from xdseg.settings.training import Training


def is_decayed(parameter: nn.Parameter) -> bool:
    """Norms, biases and per-channel scales have one dimension at most; they are never decayed."""
    return parameter.ndim > 1


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], recipe: Training, *, is_head: Callable[[str], bool]
) -> list[dict]:
    """Trainable parameters by encoder or head and by decay; groups without members are left out."""
    groups: dict[str, dict] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        part, decayed = "head" if is_head(name) else "encoder", is_decayed(parameter)
        group = groups.setdefault(
            f"{part}.{'decay' if decayed else 'plain'}",
            {
                "params": [],
                "lr": recipe.lr * (recipe.head_lr_factor if part == "head" else 1),
                "weight_decay": recipe.weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return [{"name": name, **groups[name]} for name in sorted(groups)]
