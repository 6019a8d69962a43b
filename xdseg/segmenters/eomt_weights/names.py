"""Names of EoMT's parameters: ours, those of the authors' code, and those of transformers.

On ours and the authors' side the encoder has timm's names. On DINOv3 the authors took transformers' encoder, whose
blocks have the same names in both.
"""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

Pairs = tuple[tuple[str, str], ...]
State = dict[str, Tensor]
MOST_UPSCALINGS = 4


class Names(NamedTuple):
    """Ours beside theirs: beginnings of names, of which the first that fits is replaced, and parts within them."""

    starts: Pairs
    parts: Pairs = ()

    def to_ours(self, state: State) -> State:
        """The same tensors under our names."""
        starts, parts = ([(theirs, ours) for ours, theirs in pairs] for pairs in self)
        return {_translated(name, starts, parts): value for name, value in state.items()}

    def to_theirs(self, state: State) -> State:
        """The same tensors under their names."""
        return {_translated(name, self.starts, self.parts): value for name, value in state.items()}


def _translated(name: str, starts: Iterable[tuple[str, str]], parts: Iterable[tuple[str, str]]) -> str:
    for old, new in starts:
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    for old, new in parts:
        name = name.replace(old, new)
    return name


_ATTENTION = ((".attn.q_", ".attention.q_"), (".attn.k_", ".attention.k_"), (".attn.v_", ".attention.v_"))
_V2_BLOCKS = (
    *_ATTENTION,
    (".attn.proj.", ".attention.out_proj."),
    (".ls1.gamma", ".layer_scale1.lambda1"),
    (".ls2.gamma", ".layer_scale2.lambda1"),
)
_V3_BLOCKS = (
    *_ATTENTION,
    (".attn.proj.", ".attention.o_proj."),
    (".gamma_1", ".layer_scale1.lambda1"),
    (".gamma_2", ".layer_scale2.lambda1"),
    (".mlp.fc1_g.", ".mlp.gate_proj."),
    (".mlp.fc1_x.", ".mlp.up_proj."),
    (".mlp.fc1.", ".mlp.up_proj."),
    (".mlp.fc2.", ".mlp.down_proj."),
)
_V3_GATED = tuple(pair for pair in _V3_BLOCKS if pair[0] != ".mlp.fc1.")
_V3_PLAIN = tuple(pair for pair in _V3_BLOCKS if not pair[0].startswith(".mlp.fc1_"))
_BACKBONE = "network.encoder.backbone."
_AUTHORS_HEAD = (("queries", "network.q.weight"), ("head.", "network."))
_TRANSFORMERS = (
    ("encoder.blocks.", "layers."),
    ("encoder.norm.", "layernorm."),
    ("encoder.cls_token", "embeddings.cls_token"),
    ("encoder.reg_token", "embeddings.register_tokens"),
    ("queries", "query.weight"),
    ("head.class_head.", "class_predictor."),
    *((f"head.mask_head.{2 * number}.", f"mask_head.fc{number + 1}.") for number in range(3)),
    *((f"head.upscale.{n}.norm.", f"upscale_block.block.{n}.layernorm2d.") for n in range(MOST_UPSCALINGS)),
    ("head.upscale.", "upscale_block.block."),
)

AUTHORS = Names((("encoder.", _BACKBONE), *_AUTHORS_HEAD))
TRANSFORMERS = Names(
    (
        ("encoder.pos_embed", "embeddings.position_embeddings.weight"),
        ("encoder.patch_embed.proj.", "embeddings.patch_embeddings.projection."),
        *_TRANSFORMERS,
    ),
    _V2_BLOCKS,
)


def authors_v3(*, gated: bool) -> Names:
    """The authors' names on DINOv3; `gated` if the encoder's blocks have two layers where others have one."""
    starts = (
        ("encoder.cls_token", f"{_BACKBONE}patch_embed.cls_token"),
        ("encoder.reg_token", f"{_BACKBONE}patch_embed.register_tokens"),
        ("encoder.patch_embed.proj.", f"{_BACKBONE}patch_embed.patch_embeddings."),
        ("encoder.", _BACKBONE),
    )
    return Names((*starts, *_AUTHORS_HEAD), _V3_GATED if gated else _V3_PLAIN)


def transformers_v3(*, gated: bool) -> Names:
    """Transformers' names on DINOv3."""
    starts = (("encoder.patch_embed.proj.", "embeddings.patch_embeddings."), *_TRANSFORMERS)
    return Names(starts, _V3_GATED if gated else _V3_PLAIN)
