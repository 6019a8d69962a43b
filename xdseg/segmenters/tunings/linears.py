"""The six linear layers of a transformer's block, by the letters that papers give them, in timm's modules."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from timm.layers import GluMlp
from timm.models.eva import EvaAttention
from torch import nn

from xdseg.errors import BadInput
from xdseg.settings.tunings import Linear

LETTERS: dict[str, tuple[Linear, ...]] = {  # of a layer in a block: what its outputs are, in equal parts
    "attn.qkv": ("q", "k", "v"),
    **{"attn.q_proj": ("q",), "attn.k_proj": ("k",), "attn.v_proj": ("v",)},
    "attn.proj": ("proj",),
    "mlp.fc1": ("fc1",),
    **{"mlp.fc1_g": ("fc1",), "mlp.fc1_x": ("fc1",)},  # of SwiGLU: the gate, and what it gates
    "mlp.fc2": ("fc2",),
}
PACKED = ("fc1", "fc1")  # gate and value of a gated network in one layer


class Place(NamedTuple):
    """A linear layer in a block, and what its outputs are, in equal parts."""

    name: str
    layer: nn.Linear
    letters: tuple[Linear, ...]

    def parts(self, targets: Sequence[Linear]) -> tuple[int, ...]:
        """Numbers of the parts that are among the targets."""
        return tuple(number for number, letter in enumerate(self.letters) if letter in targets)


def places(block: nn.Module, targets: Sequence[Linear]) -> list[Place]:
    """Layers of a block that hold a target. Raises BadInput for a target that the block does not have."""
    found = [place for place in _all(block) if place.parts(targets)]
    if missing := set(targets) - {letter for place in found for letter in place.letters}:
        raise BadInput(f"tuning.targets: a {type(block).__name__} has no layer {min(missing)}; leave it out")
    return found


def _all(block: nn.Module) -> Iterator[Place]:
    for name, layer in block.named_modules():
        if name in LETTERS and isinstance(layer, nn.Linear):
            packed = name == "mlp.fc1" and isinstance(block.mlp, GluMlp)
            yield Place(name, layer, PACKED if packed else LETTERS[name])


def biases(block: nn.Module, found: Sequence[Place]) -> list[nn.Parameter]:
    """Biases of these layers; EVA's attention keeps those of its queries and values apart."""
    own = [place.layer.bias for place in found]
    if isinstance(block.attn, EvaAttention) and any(place.name == "attn.qkv" for place in found):
        own += [block.attn.q_bias, block.attn.v_bias]
    return [bias for bias in own if bias is not None]


def call_layers(block: nn.Module) -> None:
    """Have EVA's attention call its layer of queries, keys and values, whose weight it otherwise reads past it."""
    if isinstance(block.attn, EvaAttention):
        block.attn.qkv_bias_separate = True
