"""Optimisers of a method: one for all groups that share a kind, each trainable parameter in exactly one group.

A group with the key `weight_decay_end` has a weight decay that falls to that value along a cosine over the run; others
keep theirs.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from xdseg.settings.training import Training
from xdseg.training.schedule import annealed, factor
from xdseg.training.train_step import TrainStep

MAKERS: dict[str, Callable[[list[dict], Training], Optimizer]] = {
    "adamw": lambda groups, recipe: AdamW(groups, betas=recipe.betas),
    "sgd": lambda groups, recipe: SGD(groups, momentum=recipe.momentum),
    "adam": lambda groups, recipe: Adam(groups, betas=recipe.betas),  # of discriminators, which name their own betas
}

END, FIRST = "weight_decay_end", "weight_decay_first"  # keys of groups whose weight decay is annealed


def _peaks(group: dict) -> dict[str, float]:
    """What schedules start from."""
    return {"peak": group["lr"]} | ({FIRST: group["weight_decay"]} if END in group else {})


def check_groups(module: nn.Module, groups: Iterable[dict]) -> None:
    """Raises ValueError unless each trainable parameter is in one group, once, and nothing else is."""
    times = Counter(id(parameter) for group in groups for parameter in group["params"])
    for name, parameter in module.named_parameters():
        wanted, found = int(parameter.requires_grad), times.pop(id(parameter), 0)
        if found != wanted:
            state = "trainable" if wanted else "frozen"
            raise ValueError(f"{type(module).__name__}: {state} parameter {name} is in {found} groups")
    if times:
        raise ValueError(f"{type(module).__name__}: {len(times)} parameters in its groups are not its own")


class Optimisers:
    """Several optimisers that step, clip and resume together."""

    def __init__(self, train_step: TrainStep, recipe: Training, *, device: torch.device) -> None:
        self.recipe = recipe
        self.owners = [train_step.segmenter, *train_step.adaptations.values()]
        kinds: dict[str, list[dict]] = {}
        for owner in self.owners:
            groups = owner.parameter_groups(recipe)
            check_groups(owner, groups)
            for group in groups:
                kind = group.get("optimizer", recipe.optimizer)
                kinds.setdefault(kind, []).append({**group, **_peaks(group)})
        self.members = [MAKERS[kind](groups, recipe) for kind, groups in kinds.items()]
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")

    def set_rates(self, step: int) -> float:
        """Set learning rates and annealed decays for `step`; returns the first group's rate, the one of the curves."""
        for optimiser in self.members:
            for group in optimiser.param_groups:
                # a group that does not say its part belongs to an adaptation, whose parameters are all new
                group["lr"] = group["peak"] * factor(self.recipe, step, part=group.get("part", "head"))
                if END in group:
                    group["weight_decay"] = annealed(group[FIRST], group[END], step=step, steps=self.recipe.steps)
        return self.members[0].param_groups[0]["lr"]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimiser in self.members:
            optimiser.zero_grad()

    def step(self) -> None:
        """Clip and update."""
        if self.recipe.clip_grad_norm is not None:
            self._clip(self.recipe.clip_grad_norm)
        for optimiser in self.members:
            if any(p.grad is not None for group in optimiser.param_groups for p in group["params"]):
                self.scaler.step(optimiser)
        self.scaler.update()

    def _clip(self, limit: float) -> None:
        """Segmenter and each adaptation by its own norm: a discriminator's gradient must not shrink the network's."""
        for optimiser in self.members:
            self.scaler.unscale_(optimiser)
        for owner in self.owners:
            nn.utils.clip_grad_norm_([p for p in owner.parameters() if p.requires_grad], limit)

    def state_dict(self) -> dict:
        """All that a resume needs."""
        return {"members": [optimiser.state_dict() for optimiser in self.members], "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` gave."""
        for optimiser, part in zip(self.members, state["members"], strict=True):
            optimiser.load_state_dict(part)
        self.scaler.load_state_dict(state["scaler"])
