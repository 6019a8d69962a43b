"""Filling EoMT from what its settings name: an encoder, a whole network, or an encoder and published differences."""

import math
from importlib import import_module
from typing import TYPE_CHECKING

import timm
import torch
from torch import nn

from xdseg.errors import BadInput
from xdseg.pretrained import weights_file
from xdseg.segmenters.eomt_weights.names import State
from xdseg.segmenters.eomt_weights.read import Found, read
from xdseg.settings.eomt import EoMT as Settings

if TYPE_CHECKING:  # the network loads itself through this module
    from xdseg.segmenters.eomt import EoMT

TIMM = "timm"
ENCODER, CLASS_HEAD = "encoder.", "head.class_head."
CLASSIFIERS = ("head.", "lm_head.")
SHOWN = 3  # misfits that a message names


def load_into(network: "EoMT", settings: Settings) -> None:
    """Load `weights` and `delta`. Raises BadInput for what is missing or does not fit."""
    if settings.weights is None:
        if settings.delta:
            raise BadInput("eomt.delta: differences to an encoder that `weights` must name; name a file, or `timm`")
        return
    found = read_or_fetch(network, settings)
    state = found.state
    if not found.whole:
        filled = encoder_state(network.encoder, found.state, origin=settings.weights)
        state = {f"{ENCODER}{key}": value for key, value in filled.items()}
    if settings.delta:
        found = read(weights_file(settings.delta))
        state = added(state, found, origin=settings.delta)
    origin = settings.delta or settings.weights
    check_blocks(found, settings, origin=origin)
    fit(network, state, whole=found.whole, new_classes=settings.class_head == "new", origin=origin)


def read_or_fetch(network: "EoMT", settings: Settings) -> Found:
    """What `weights` names. Raises BadInput without a network where it is to be downloaded."""
    if settings.weights != TIMM:
        return read(weights_file(settings.weights))
    try:
        return Found(timm.create_model(settings.encoder, pretrained=True, num_classes=0).state_dict(), whole=False)
    except Exception as error:  # urllib and huggingface_hub raise some ten types for "no network"
        raise BadInput(
            f"eomt.weights: cannot download timm/{settings.encoder} ({type(error).__name__}); save its "
            "model.safetensors to a local file and give that file's path as weights"
        ) from error


def encoder_state(encoder: nn.Module, state: State, *, origin: str) -> State:
    """Pre-trained tensors, in timm's names or those that timm converts, with patches and positions resampled.

    The norm that a network with average pooling has behind the pooling takes the place of the last norm. Raises
    BadInput for positions of no square grid, unless they are as many as the encoder's own, or of another encoder.
    """
    state = {name: value.float() for name, value in state.items() if not name.startswith(CLASSIFIERS)}
    if "norm.weight" not in state:
        state = {name.replace("fc_norm.", "norm."): value for name, value in state.items()}
    positions = state.get("pos_embed")
    kept = positions is not None and encoder.pos_embed is not None and positions.shape == encoder.pos_embed.shape
    if positions is not None and not kept and not _is_square(positions.shape[1], encoder):
        raise BadInput(
            f"{origin}: {positions.shape[1]} positions are no square grid; set size to the images' that they are of"
        )
    try:
        converted = import_module(type(encoder).__module__).checkpoint_filter_fn(dict(state), encoder)
    except RuntimeError as error:  # of shapes
        raise BadInput(f"{origin}: its positions or patches are those of another encoder; name it") from error
    converted = {name: value for name, value in converted.items() if not name.startswith(CLASSIFIERS)}  # as CLIP's
    return converted | ({"pos_embed": positions} if kept else {})


def _is_square(number: int, encoder: nn.Module) -> bool:
    return any(math.isqrt(n) ** 2 == n for n in (number, number - encoder.num_prefix_tokens, number - 1))


def added(base: State, delta: Found, *, origin: str) -> State:
    """The encoder of `base` plus the differences of its parameters; all else as in `delta`."""
    ours = {name for name in delta.state if name.startswith(ENCODER)}
    if misfits := sorted(name for name in ours if name not in base or base[name].shape != delta.state[name].shape):
        raise BadInput(f"{origin}: {_listed(misfits)} not in the encoder that it is added to; is it of another one?")
    return base | delta.state | {name: base[name] + delta.state[name] for name in ours}


def check_blocks(found: Found, settings: Settings, *, origin: str) -> None:
    """Raises BadInput if a file was trained with queries in another number of blocks."""
    if found.query_blocks not in (None, settings.query_blocks):
        raise BadInput(f"{origin}: queries run through {found.query_blocks} blocks; set query_blocks to that")


def fit(network: "EoMT", state: State, *, whole: bool, new_classes: bool, origin: str) -> None:
    """Load strictly, but for the parts that a file need not hold. Raises BadInput naming the first that do not fit."""
    own = network.state_dict()
    if whole:
        parts = {name.removeprefix(ENCODER): value for name, value in state.items() if name.startswith(ENCODER)}
        rest = {name: value for name, value in state.items() if not name.startswith(ENCODER)}
        filled = encoder_state(network.encoder, parts, origin=origin)
        state = rest | {f"{ENCODER}{key}": value for key, value in filled.items()}
    free = CLASS_HEAD if new_classes else () if whole else ("queries", "head.")
    state = {name: value for name, value in state.items() if not name.startswith(free)}
    state |= {name: value for name, value in own.items() if name.startswith(free)}
    misfits = sorted(own.keys() ^ state.keys()) + [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if misfits:
        raise BadInput(f"{origin}: {_listed(misfits)}; {_mend(own, state)}")
    network.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})


def _listed(misfits: list[str]) -> str:
    many = f"{len(misfits)} parameters do" if len(misfits) > 1 else "1 parameter does"
    return f"{many} not fit, first {', '.join(misfits[:SHOWN])}"


def _mend(own: State, state: State) -> str:
    """What to set so that the file fits, where a shape tells."""
    head, queries = f"{CLASS_HEAD}bias", state.get("queries")
    if queries is not None and queries.shape[1:] != own["queries"].shape[1:]:
        return f"it is of an encoder of width {queries.shape[1]}"
    if queries is not None and len(queries) != len(own["queries"]):
        return f"set queries to {len(queries)}"
    if head in state and state[head].shape != own[head].shape:
        return f"it has {len(state[head]) - 1} classes, not {len(own[head]) - 1}; set class_head to new"
    return "is it of another encoder, or of one without biases or class token?"
