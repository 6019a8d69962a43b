"""Layers that one form holds as one tensor and another as several: projections of attention, gated perceptrons."""

import torch

from xdseg.segmenters.eomt_weights.names import State

PARTS = ("q", "k", "v")
JOINT, GATE, UP, DOWN = ".mlp.fc1.", ".mlp.gate_proj.", ".mlp.up_proj.", ".mlp.down_proj."
OLD_GATED = ((".mlp.weights_in.", JOINT), (".mlp.weights_out.", ".mlp.fc2."))  # of transformers before version 5


def merged(state: State) -> State:
    """The projections of queries, keys and values as timm's `qkv`; their biases as timm holds them."""
    found = {name: value for name, value in state.items() if not name.endswith(_projections())}
    for name in [name for name in state if name.endswith(".attn.q_proj.weight")]:
        stem = name.removesuffix("q_proj.weight")
        found[f"{stem}qkv.weight"] = torch.cat([state[f"{stem}{part}_proj.weight"] for part in PARTS])
        biases = {part: state.get(f"{stem}{part}_proj.bias") for part in PARTS}
        if biases["k"] is not None:
            found[f"{stem}qkv.bias"] = torch.cat([biases[part] for part in PARTS])
        elif biases["q"] is not None:  # DINOv3: keys have none, and timm holds the others apart
            found |= {f"{stem}q_bias": biases["q"], f"{stem}v_bias": biases["v"]}
    return found


def _projections() -> tuple[str, ...]:
    return tuple(f".attn.{part}_proj.{kind}" for part in PARTS for kind in ("weight", "bias"))


def split(state: State) -> State:
    """The inverse of `merged`; where an encoder of DINOv3 has no biases they are zeros."""
    found: State = {}
    for name, value in state.items():
        stem, joint, kind = name.rpartition("qkv.")
        if joint:
            found |= {f"{stem}{part}_proj.{kind}": third for part, third in zip(PARTS, value.chunk(3), strict=True)}
            if f"{stem}qkv.bias" not in state:
                zeros = torch.zeros_like(value[: len(value) // 3, 0])
                found |= {f"{stem}{part}_proj.bias": state.get(f"{stem}{part}_bias", zeros) for part in ("q", "v")}
        elif not name.endswith((".q_bias", ".v_bias")):
            found[name] = value
    return found


def gated(state: State) -> bool:
    """Whether blocks have a gated perceptron, by the names in any form."""
    return any(part in name for name in state for part in (GATE, ".mlp.weights_in.", ".mlp.fc1_g."))


def merged_gates(state: State) -> State:
    """Gate and value layers of transformers' SwiGLU as timm's packed `fc1`."""
    found: State = {}
    for name, value in state.items():
        for old, new in (*OLD_GATED, (DOWN, ".mlp.fc2.")):
            name = name.replace(old, new)
        if GATE in name:
            found[name.replace(GATE, JOINT)] = torch.cat([value, state[name.replace(GATE, UP)]])
        elif UP not in name:
            found[name] = value
    return found


def split_gates(state: State) -> State:
    """The inverse of `merged_gates`."""
    found: State = {}
    for name, value in state.items():
        if JOINT in name:
            gate, up = value.chunk(2)
            found |= {name.replace(JOINT, GATE): gate, name.replace(JOINT, UP): up}
        else:
            found[name.replace(".mlp.fc2.", DOWN)] = value
    return found
