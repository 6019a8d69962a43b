"""One pre-training: from a recipe to a file of weights in half precision, and what its record says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xdseg.backbones.crops import cut_image, draw_window
from xdseg.backbones.encoders import MapEncoder
from xdseg.backbones.images import draw_all
from xdseg.backbones.objective import MaskedImages, random_mask
from xdseg.backbones.steps import costs, curve, optimise, save_half
from xdseg.data.tensors import normalise
from xdseg.segmenters.encoders import LEFT_OUT
from xdseg.settings.backbones import Backbone
from xdseg.settings.runtime import Runtime
from xdseg.training import device as devices
from xdseg.training.progress import duration
from xdseg.training.streams import generator, global_draws, seed_network


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
    return {
        **save(model.encoder, path),
        **curve(losses),
        "images_seen": settings.training.steps * settings.training.batch,
        **costs(images_minutes=drawn, minutes=time.perf_counter() - started),
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
    crops = batches(images, settings)

    def loss(step: int) -> Tensor:
        return masked_loss(model, normalise(next(crops).to(device)), settings, step)

    return optimise(model, settings.training, loss, log_every=log_every)


def masked_loss(model: MaskedImages, images: Tensor, settings: Backbone, step: int) -> Tensor:
    """The loss of one step on normalised crops (B, 3, S, S)."""
    seed_network(settings.seed, "backbone network", step)  # stochastic depth
    draws = generator(settings.seed, "backbone mask", step)
    mask = random_mask(settings.masking, (len(images), *images.shape[-2:]), draws).to(images.device)
    with devices.autocast(images.device, settings.training.precision):
        return model(images, mask)


def batches(images: np.ndarray, settings: Backbone) -> Iterator[Tensor]:
    """Per step (B, 3, crop, crop) uint8: random images, scales, places and flips; colours are left as asserted."""
    for step in range(settings.training.steps):
        draws = generator(settings.seed, "backbone crops", step)
        chosen = torch.randint(len(images), (settings.training.batch,), generator=draws).tolist()
        yield torch.stack([crop(images[index], settings, draws) for index in chosen])


def crop(image: np.ndarray, settings: Backbone, draws: torch.Generator) -> Tensor:
    """A random square of an image (H, W, 3), resized; (3, crop, crop), uint8."""
    window = draw_window(image.shape[:2], crop=settings.crop, scale=settings.scale, draws=draws)
    return cut_image(image, window, settings.crop)


def save(encoder: MapEncoder, path: Path) -> dict[str, Any]:
    """Write the encoder in half precision; returns parameters, bytes, SHA-256 and what is left out."""
    said = save_half(encoder.kept(), path, metadata={LEFT_OUT: encoder.left_out})
    trained = sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
    return {**said, "parameters": trained, LEFT_OUT: encoder.left_out}
