"""One pre-training of the vision-language model: a file of its weights, and a record that is its configuration too.

CLIP (Radford et al., ICML 2021) by open_clip's model and loss, from drawn weights, on crops of generated scenes.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdseg.backbones.clip.evidence import Extent, evidence
from xdseg.backbones.clip.model import Contrast, Texts, configuration
from xdseg.backbones.clip.scenes import batch, draw_scenes
from xdseg.backbones.steps import costs, curve, optimise, save_half
from xdseg.data.tensors import normalise
from xdseg.settings.clip import Clip
from xdseg.settings.runtime import Runtime
from xdseg.training import device as devices
from xdseg.training.progress import duration
from xdseg.training.streams import global_draws

WHOLE = Extent()


def pretrain(settings: Clip, path: Path, *, runtime: Runtime, extent: Extent = WHOLE) -> dict[str, Any]:
    """Train and write the weights to `path`; returns what its record says of them.

    Among it is `model_cfg`, so that a segmenter's `vlm.model` can name the record. Raises TrainingFailed for a loss
    that is not finite and ValueError for a file that is too large to be committed.
    """
    started = time.perf_counter()
    scenes = draw_scenes(settings.images, first=0, count=settings.images.count)
    drawn = time.perf_counter() - started
    print(f"{len(scenes)} scenes drawn in {duration(drawn)}", flush=True)
    held_out = draw_scenes(settings.images, first=settings.images.count, count=extent.scenes)
    device, texts = devices.resolve(runtime.device), Texts(settings)
    config = configuration(settings, texts.vocabulary)
    with devices.reproducible():
        model = build(settings, config)
        before = evidence(model.network, held_out, settings, texts, extent)
        model.to(device).train()
        losses = optimise(
            model, settings.training, _losses(model, scenes, settings, texts, device), log_every=runtime.log_every
        )
        model.cpu().eval()
        after = evidence(model.network, held_out, settings, texts, extent)
    return {
        "model_cfg": config,
        **save_half(model.network.state_dict(), path),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "evidence": {"before": before, "after": after},
        **curve(losses),
        "images_seen": sum(settings.crops_at(step)[1] for step in range(settings.training.steps)),
        **costs(images_minutes=drawn, minutes=time.perf_counter() - started),
        "device": devices.name(device),
        "torch": torch.__version__,
    }


def build(settings: Clip, config: dict[str, Any]) -> Contrast:
    """Model and loss with initial weights from a stream of their own, in evaluation."""
    with global_draws(settings.seed, "clip init", 0):
        return Contrast(config, patches=settings.patches).eval()


def _losses(model: Contrast, scenes: list, settings: Clip, texts: Texts, device: torch.device):
    """The loss of a step, by its number."""

    def loss(step: int) -> Tensor:
        crops, captions = batch(scenes, settings, step, texts.fits)
        with devices.autocast(device, settings.training.precision):
            return model(normalise(crops.to(device)), texts.rows(captions).to(device))

    return loss
