"""Pre-trained weights of a plain transformer whose last norm may or may not be read."""

from typing import Protocol

import timm
from torch import nn

from xdseg.errors import BadInput
from xdseg.pretrained import weights_file
from xdseg.segmenters.eomt_weights.load import ENCODER, TIMM, encoder_state
from xdseg.segmenters.eomt_weights.names import State
from xdseg.segmenters.eomt_weights.read import read
from xdseg.segmenters.weights import fit


class Settings(Protocol):
    """Of a segmenter on an encoder of timm."""

    encoder: str
    weights: str | None


def fill_encoder(encoder: nn.Module, settings: Settings, *, segmenter: str) -> None:
    """Load what the setting `weights` names; None leaves the initial draws. Of a whole EoMT its encoder is taken.

    Raises BadInput for weights that are missing or do not fit.
    """
    if settings.weights is None:
        return
    state = _fetched(settings.encoder, segmenter) if settings.weights == TIMM else _from_file(settings.weights)
    fit(encoder, encoder_state(encoder, state, origin=settings.weights), origin=settings.weights)


def _from_file(weights: str) -> State:
    found = read(weights_file(weights))
    if not found.whole:
        return found.state
    return {name.removeprefix(ENCODER): value for name, value in found.state.items() if name.startswith(ENCODER)}


def _fetched(name: str, segmenter: str) -> State:
    """Download by timm. Raises BadInput without a network."""
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # urllib and huggingface_hub raise some ten types for "no network"
        raise BadInput(
            f"{segmenter}.weights: cannot download timm/{name} ({type(error).__name__}); save its model.safetensors "
            "to a local file and give that file's path as weights"
        ) from error
