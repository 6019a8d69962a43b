"""The segmenter inside: what HRDA must know of it, and the refusals of one that it cannot work with."""

from dataclasses import dataclass
from math import lcm

import torch

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.dense import DensePrediction
from xdseg.settings.hrda import HRDA as Settings

LOOK = 2  # sides of the image that is looked at, in multiples: with one cell per map some norms cannot do


@dataclass(frozen=True)
class Inner:
    """Found by a look at one black image, as nothing declares it."""

    stride: int  # pixels per cell of its logits
    joint: bool  # whether its features are maps alone, so that those of several windows can be joined


@torch.no_grad()
def examine(network: Segmenter, kind: str) -> Inner:
    """Raises BadInput if its prediction is not one logit per class and cell."""
    side, training = LOOK * network.describe().multiple, network.training
    features = network.eval().encode(torch.zeros(1, 3, side, side, device=next(network.parameters()).device))
    prediction = network.decode(features)
    network.train(training)
    if not isinstance(prediction, DensePrediction):
        raise BadInput(f"hrda.inner: {kind} gives no logits per pixel to fuse; take a dense segmenter, as daformer")
    return Inner(stride=side // prediction.logits.shape[-1], joint=not features.context)


def crop_unit(settings: Settings, inner: Inner) -> int:
    """Pixels that corners of random details are multiples of: those asked for, and whole cells of the context."""
    return lcm(settings.divisible, settings.reduction * inner.stride)


def check_details(settings: Settings, inner: Inner, *, multiple: int) -> None:
    """Raises BadInput for details that end within a cell of the context, or that the inner segmenter does not take."""
    unit = lcm(multiple, settings.reduction * inner.stride)
    for key in ("detail", "detail_stride"):
        if getattr(settings, key) % unit:
            raise BadInput(
                f"hrda.{key}: {getattr(settings, key)} is no multiple of {unit}, as {settings.inner.kind} needs"
            )
