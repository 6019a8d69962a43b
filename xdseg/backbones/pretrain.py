"""One pre-training: from a recipe to a file of weights in half precision, and what its record says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import AdamW

from xdseg.backbones.encoders import MapEncoder
from xdseg.backbones.images import draw_all
from xdseg.backbones.objective import MaskedImages, random_mask
from xdseg.data.augmentation import uniform
from xdseg.data.tensors import image_tensor, normalise, resize_image
from xdseg.errors import TrainingFailed
from xdseg.files import file_digest, temporary
from xdseg.segmenters.encoders import LEFT_OUT
from xdseg.segmenters.parameters import parameter_groups
from xdseg.settings.backbones import Backbone
from xdseg.settings.runtime import Runtime
from xdseg.training import device as devices
from xdseg.training.progress import duration
from xdseg.training.schedule import factor
from xdseg.training.streams import generator, global_draws, seed_network

LARGEST = 8 << 20  # bytes; the files are committed
CURVE_POINTS = 10
SECONDS_PER_MINUTE = 60


def pretrain(settings: Backbone, path: Path, *, runtime: Runtime) -> dict[str, Any]:
    """Train and write the weights to `path`; returns what its record says of them.

    Raises TrainingFailed for a loss that is not finite and ValueError for a file larger than LARGEST.
    """
    started = time.perf_counter()
    images = draw_all(settings.images)
    drawn = time.perf_counter() - started
    print(f"{len(images)} images drawn in {duration(drawn)}", flush=True)
    device = devices.resolve(runtime.device)
    with devices.reproducible():
        model = build(settings).to(device).train()
        losses = train(model, images, settings, device=device, log_every=runtime.log_every)
    costs = {"images_minutes": drawn, "minutes": time.perf_counter() - started}
    return {
        **save(model.encoder, path),
        "loss": [round(float(part.mean()), 4) for part in np.array_split(losses, min(CURVE_POINTS, len(losses)))],
        "images_seen": settings.training.steps * settings.training.batch,
        **{name: round(seconds / SECONDS_PER_MINUTE, 2) for name, seconds in costs.items()},
        "device": devices.name(device),
        "torch": torch.__version__,
    }


def build(settings: Backbone) -> MaskedImages:
    """Encoder and decoder with their initial weights, drawn from a stream of their own."""
    with global_draws(settings.seed, "backbone init", 0):
        return MaskedImages(MapEncoder(settings.encoder), settings.decoder_channels)


def train(
    model: MaskedImages, images: np.ndarray, settings: Backbone, *, device: torch.device, log_every: int
) -> list[float]:
    """All steps; returns the loss of each."""
    recipe, losses = settings.training, []
    optimiser = AdamW(
        parameter_groups(model.named_parameters(), recipe, is_head=lambda name: False), betas=recipe.betas
    )
    since = time.perf_counter()
    for step, crops in enumerate(batches(images, settings)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * factor(recipe, step)
        losses.append(update(model, optimiser, normalise(crops.to(device)), settings, step))
        if (step + 1) % log_every == 0 or step + 1 == recipe.steps:
            left = duration((time.perf_counter() - since) / (step + 1) * (recipe.steps - step - 1))
            recent = np.mean(losses[-log_every:])
            print(f"step {step + 1}/{recipe.steps}  loss {recent:.3f}  ETA {left}", flush=True)
    return losses


def update(model: MaskedImages, optimiser: AdamW, images: Tensor, settings: Backbone, step: int) -> float:
    """One optimiser step on normalised crops (B, 3, S, S); returns the loss, or raises TrainingFailed if not finite."""
    recipe = settings.training
    seed_network(settings.seed, "backbone network", step)  # stochastic depth
    draws = generator(settings.seed, "backbone mask", step)
    mask = random_mask(settings.masking, (len(images), *images.shape[-2:]), draws).to(images.device)
    with devices.autocast(images.device, recipe.precision):
        loss = model(images, mask)
    if not torch.isfinite(loss):
        raise TrainingFailed(f"step {step + 1}: loss is not finite ({loss.item()})")
    optimiser.zero_grad()
    loss.backward()
    if recipe.clip_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad_norm)
    optimiser.step()
    return loss.item()


def batches(images: np.ndarray, settings: Backbone) -> Iterator[Tensor]:
    """Per step (B, 3, crop, crop) uint8: random images, scales, places and flips; colours are left as asserted."""
    for step in range(settings.training.steps):
        draws = generator(settings.seed, "backbone crops", step)
        chosen = torch.randint(len(images), (settings.training.batch,), generator=draws).tolist()
        yield torch.stack([crop(images[index], settings, draws) for index in chosen])


def crop(image: np.ndarray, settings: Backbone, draws: torch.Generator) -> Tensor:
    """A random square of an image (H, W, 3), resized; (3, crop, crop), uint8."""
    height, width = image.shape[:2]
    side = min(round(settings.crop / uniform(*settings.scale, draws)), height, width)
    top, left = (int(uniform(0, 1, draws) * (full - side + 1)) for full in (height, width))
    window = image_tensor(image[top : top + side, left : left + side])
    window = resize_image(window, (settings.crop, settings.crop))
    return window.flip(-1) if uniform(0, 1, draws) < 0.5 else window


def save(encoder: MapEncoder, path: Path) -> dict[str, Any]:
    """Write the encoder in half precision; returns parameters, bytes, SHA-256 and what is left out."""
    state = {key: value.detach().cpu().contiguous() for key, value in encoder.kept().items()}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    if bad := [key for key, value in state.items() if not value.isfinite().all()]:
        raise TrainingFailed(f"{bad[0]}: not finite in half precision")
    with temporary(path) as unfinished:
        save_file(state, unfinished, metadata={LEFT_OUT: encoder.left_out})  # two entries have no fixed order
        size, digest = unfinished.stat().st_size, file_digest(unfinished)
        if size > LARGEST:
            raise ValueError(f"{path}: {size} bytes, more than the {LARGEST} that a committed file may have")
    trained = sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
    return {"weights_sha256": digest, "bytes": size, "parameters": trained, LEFT_OUT: encoder.left_out}
