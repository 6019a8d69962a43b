"""Scenes with captions: each a pure function of the settings and its number, of a style that no domain has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xdseg.backbones.clip.captions import caption
from xdseg.backbones.crops import cut_image, cut_labels, draw_window
from xdseg.backbones.worlds import draw_style
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.render import render_style
from xdseg.data.streetworld.style import Style
from xdseg.settings.clip import Clip, Scenes
from xdseg.training.streams import generator

Fits = Callable[[str], bool]


@dataclass(frozen=True)
class Scene:
    """Image (H, W, 3) and labels (H, W), uint8, and the style they were drawn with."""

    image: np.ndarray
    labels: np.ndarray
    style: Style[float]


def draw_scene(settings: Scenes, index: int) -> Scene:
    """A scene whose style is asserted to be no domain's."""
    dice = Dice("captioned", settings.seed, index)
    style = draw_style(dice)
    return Scene(*render_style(style, dice, height=settings.height, width=settings.width), style)


def draw_scenes(settings: Scenes, *, first: int, count: int) -> list[Scene]:
    """Consecutive scenes; those from `settings.count` on are held out."""
    return [draw_scene(settings, index) for index in range(first, first + count)]


def batch(scenes: Sequence[Scene], settings: Clip, step: int, fits: Fits) -> tuple[Tensor, list[str]]:
    """The crops and captions of a step of training."""
    crop, count = settings.crops_at(step)
    return captioned(scenes, settings, stream="clip", step=step, crop=crop, count=count, fits=fits)


def captioned(
    scenes: Sequence[Scene], settings: Clip, *, stream: str, step: int, crop: int, count: int, fits: Fits
) -> tuple[Tensor, list[str]]:
    """Random crops (count, 3, crop, crop), uint8, with a caption of each, as seed, stream and step say."""
    draws, dice = generator(settings.seed, f"{stream} crops", step), Dice(f"{stream} captions", settings.seed, step)
    crops, captions = [], []
    for index in torch.randint(len(scenes), (count,), generator=draws).tolist():
        scene = scenes[index]
        window = draw_window(scene.labels.shape, crop=crop, scale=settings.scale, draws=draws)
        crops.append(cut_image(scene.image, window, crop))
        labels = cut_labels(scene.labels, window, crop).numpy()
        captions.append(caption(labels, scene.style, dice, fits=fits))
    return torch.stack(crops), captions
