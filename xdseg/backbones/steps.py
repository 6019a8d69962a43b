"""What every pre-training shares: its steps, its file in half precision, and what its record says of both."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW

from xdseg.errors import TrainingFailed
from xdseg.files import file_digest, temporary
from xdseg.segmenters.parameters import parameter_groups
from xdseg.settings.training import Training
from xdseg.training.progress import duration
from xdseg.training.schedule import factor

LARGEST = 8 << 20  # bytes; the files are committed
CURVE_POINTS = 10
SECONDS_PER_MINUTE = 60


def optimise(model: nn.Module, recipe: Training, loss_at: Callable[[int], Tensor], *, log_every: int) -> list[float]:
    """All steps, each on the loss that `loss_at` gives for its number; returns the losses.

    Raises TrainingFailed for one that is not finite.
    """
    optimiser = AdamW(
        parameter_groups(model.named_parameters(), recipe, is_head=lambda name: False), betas=recipe.betas
    )
    losses, since = [], time.perf_counter()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * factor(recipe, step)
        losses.append(_update(model, optimiser, recipe, loss_at(step), step))
        if (step + 1) % log_every == 0 or step + 1 == recipe.steps:
            left = duration((time.perf_counter() - since) / (step + 1) * (recipe.steps - step - 1))
            recent = np.mean(losses[-log_every:])
            print(f"step {step + 1}/{recipe.steps}  loss {recent:.3f}  ETA {left}", flush=True)
    return losses


def _update(model: nn.Module, optimiser: AdamW, recipe: Training, loss: Tensor, step: int) -> float:
    if not torch.isfinite(loss):
        raise TrainingFailed(f"step {step + 1}: loss is not finite ({loss.item()})")
    optimiser.zero_grad()
    loss.backward()
    if recipe.clip_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad_norm)
    optimiser.step()
    return loss.item()


def save_half(state: Mapping[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """Write tensors in half precision; returns bytes and SHA-256.

    `metadata` has one entry at most, since two have no fixed order in the file. Raises TrainingFailed for a value that
    is not finite there, and ValueError for a file larger than LARGEST.
    """
    kept = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    kept = {key: value.half() if value.is_floating_point() else value for key, value in kept.items()}
    if bad := [key for key, value in kept.items() if not value.isfinite().all()]:
        raise TrainingFailed(f"{bad[0]}: not finite in half precision")
    with temporary(path) as unfinished:
        save_file(kept, unfinished, metadata=metadata)
        size, digest = unfinished.stat().st_size, file_digest(unfinished)
        if size > LARGEST:
            raise ValueError(f"{path}: {size} bytes, more than the {LARGEST} that a committed file may have")
    return {"weights_sha256": digest, "bytes": size}


def curve(losses: Sequence[float]) -> dict[str, list[float]]:
    """The loss in a few parts of a training."""
    parts = np.array_split(losses, min(CURVE_POINTS, len(losses)))
    return {"loss": [round(float(part.mean()), 4) for part in parts]}


def costs(**seconds: float) -> dict[str, float]:
    """Times in minutes."""
    return {name: round(value / SECONDS_PER_MINUTE, 2) for name, value in seconds.items()}
