"""Writing EoMT's weights in the authors' form, or as a folder that transformers loads."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from timm.models.eva import Eva

from xdseg.data.tensors import MEAN, STD
from xdseg.errors import BadInput
from xdseg.segmenters.eomt_weights.layers import gated, split, split_gates
from xdseg.segmenters.eomt_weights.names import AUTHORS, TRANSFORMERS, State, authors_v3, transformers_v3
from xdseg.segmenters.eomt_weights.read import POSITIONS, PROBABILITIES

if TYPE_CHECKING:
    from xdseg.segmenters.eomt import EoMT


def save_authors(network: "EoMT", path: Path) -> None:
    """The authors' plain form: absolute weights (`delta_weights False`), and the buffers that their loader asks for."""
    torch.save({name: value.cpu() for name, value in authors_state(network).items()}, path)


def save_transformers(network: "EoMT", folder: Path) -> None:
    """config.json and model.safetensors, for EomtForUniversalSegmentation or, on DINOv3, its namesake.

    Raises BadInput for an encoder that they do not have.
    """
    config = transformers_config(network)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    state = {name: value.cpu().contiguous() for name, value in transformers_state(network).items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def authors_state(network: "EoMT") -> State:
    """Tensors under the authors' names, the buffers as after training: masks off."""
    state = _state(network)
    if isinstance(network.encoder, Eva):
        state = authors_v3(gated=gated(state)).to_theirs(split(state))
    else:
        state = AUTHORS.to_theirs(state)
    state |= {
        f"network.encoder.{name}": torch.tensor(value).view(1, -1, 1, 1)
        for name, value in (("pixel_mean", MEAN), ("pixel_std", STD))
    }
    return state | {f"network.{PROBABILITIES}": _no_masks(network), "criterion.empty_weight": _class_weights(network)}


def transformers_state(network: "EoMT") -> State:
    """Tensors under transformers' names. There the buffer of zeros makes the fast path."""
    state = split(_state(network))
    if isinstance(network.encoder, Eva):
        state = transformers_v3(gated=gated(state)).to_theirs(state)
    else:
        state[POSITIONS] = state[POSITIONS][0]
        state = TRANSFORMERS.to_theirs(split_gates(state) if _is_packed(network) else state)
    return state | {PROBABILITIES: _no_masks(network), "criterion.empty_weight": _class_weights(network)}


def transformers_config(network: "EoMT") -> dict[str, Any]:
    """What transformers builds the network from. Raises BadInput for an encoder that it does not have."""
    encoder, rotary = network.encoder, isinstance(network.encoder, Eva)
    sides = {side * network.patch for side in encoder.patch_embed.grid_size}
    if encoder.cls_token is None or not (rotary or encoder.no_embed_class) or len(sides) > 1:
        raise BadInput(
            f"eomt: transformers has no EoMT on {network.settings.encoder} of positions for {sorted(sides)}; it takes "
            "encoders with a class token, whose positions leave it out, for square images"
        )
    kind = "EomtDinov3" if rotary else "Eomt"
    return {
        "architectures": [f"{kind}ForUniversalSegmentation"],
        "model_type": "eomt_dinov3" if rotary else "eomt",
        "id2label": dict(enumerate(network.classes)),
        "label2id": {name: number for number, name in enumerate(network.classes)},
        "image_size": sides.pop(),
        **_encoder_config(network),
        **_perceptron(network, rotary=rotary),
        **_head_config(network),
    }


def _encoder_config(network: "EoMT") -> dict[str, Any]:
    encoder = network.encoder
    return {
        "hidden_size": encoder.embed_dim,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": encoder.blocks[0].attn.num_heads,
        "layer_norm_eps": encoder.norm.eps,
        "patch_size": network.patch,
        "num_register_tokens": encoder.num_prefix_tokens - 1,
    }


def _head_config(network: "EoMT") -> dict[str, Any]:
    settings, loss = network.settings, network.settings.loss
    return {
        "num_upscale_blocks": len(network.head.upscale),
        "num_blocks": settings.query_blocks,
        "num_queries": settings.queries,
        "train_num_points": loss.points,
        "oversample_ratio": loss.oversample,
        "importance_sample_ratio": loss.importance,
        "class_weight": loss.class_weight,
        "mask_weight": loss.mask_weight,
        "dice_weight": loss.dice_weight,
        "no_object_weight": loss.no_object,
    }


def _perceptron(network: "EoMT", *, rotary: bool) -> dict[str, Any]:
    hidden = network.encoder.blocks[0].mlp.fc2.in_features
    if rotary:
        gates = gated(network.state_dict())
        return {"intermediate_size": hidden, "use_gated_mlp": gates, "hidden_act": "silu" if gates else "gelu"}
    packed = _is_packed(network)  # its ratio is counted before two thirds of the width are kept
    return {"use_swiglu_ffn": packed, "mlp_ratio": round(hidden / network.encoder.embed_dim * (1.5 if packed else 1))}


def _is_packed(network: "EoMT") -> bool:
    layers = network.encoder.blocks[0].mlp
    return layers.fc1.out_features == 2 * layers.fc2.in_features


def _state(network: "EoMT") -> State:
    return {name: value.detach() for name, value in network.state_dict().items()}


def _no_masks(network: "EoMT") -> torch.Tensor:
    return torch.zeros(network.settings.query_blocks)


def _class_weights(network: "EoMT") -> torch.Tensor:
    return torch.tensor([1.0] * len(network.classes) + [network.settings.loss.no_object])
