"""Plain vision transformers of timm, as what segmenters build on: tokens, blocks, and biases on their attention.

A sequence is [queries | prefix | patches]: the prefix holds the encoder's own class and register tokens, queries are
what a segmenter puts in front. Without mask or bias a block runs as timm's, on the fused kernel.
"""

from dataclasses import dataclass
from difflib import get_close_matches

import timm
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from xdseg.backbones import vit  # noqa: F401  (tells timm its name)
from xdseg.errors import BadInput
from xdseg.segmenters.contract import Size
from xdseg.segmenters.steering import INPUT
from xdseg.segmenters.vit_steering import Guided, patch_bias, scaled

__all__ = [
    "INPUT",
    "Guided",
    "Tokens",
    "block_of",
    "create",
    "embed",
    "patch_bias",
    "patch_side",
    "queries_enter",
    "run",
]
MEND = "name a vision transformer of timm.list_models('*vit*')"


def create(name: str, *, patch: int | None, size: Size | int | None, drop_path: float, segmenter: str) -> nn.Module:
    """The encoder of that name with drawn weights, for images of any size that its patches divide.

    `patch` and `size`, the side of a patch and the images that positions are stored for, default to the encoder's own.
    Raises BadInput for a name that timm does not know, or that is no plain vision transformer.
    """
    changes = {"patch_size": patch, "img_size": size}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not timm.is_model(name):
        near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
        raise BadInput(f"{segmenter}.encoder: timm has no {name!r}; {f'did you mean {near[0]!r}?' if near else MEND}")
    try:  # without pooling, so that the last norm is one of all tokens
        encoder = timm.create_model(
            name, num_classes=0, global_pool="", dynamic_img_size=True, drop_path_rate=drop_path, **changes
        )
    except (TypeError, RuntimeError) as error:  # its class takes other arguments; there is no such tag
        raise BadInput(f"{segmenter}.encoder: {name}: {error}; {MEND}") from error
    if not isinstance(encoder, VisionTransformer | Eva):
        raise BadInput(f"{segmenter}.encoder: {name} is no plain vision transformer; {MEND}")
    return encoder


def queries_enter(encoder: nn.Module, blocks: int, *, queries: int, segmenter: str) -> int:
    """The first of the last `blocks` blocks, made ready for `queries` more tokens that no rotation may turn.

    Raises BadInput if the encoder has fewer blocks.
    """
    first = len(encoder.blocks) - blocks
    if first < 0:
        raise BadInput(f"{segmenter}.query_blocks: {blocks}, of an encoder of {len(encoder.blocks)} blocks; set fewer")
    if isinstance(encoder, Eva):
        for block in encoder.blocks[first:]:
            block.attn.num_prefix_tokens += queries
    return first


def patch_side(encoder: nn.Module) -> int:
    """Side of a patch in pixels."""
    return encoder.patch_embed.patch_size[0]


@dataclass(frozen=True)
class Tokens:
    """A sequence (B, T, D) that ends with the patches of a grid; `rope` turns them (DINOv3, EVA-02) or is None."""

    x: Tensor
    grid: Size
    rope: Tensor | None = None

    @property
    def before(self) -> int:
        """Tokens in front of the patches."""
        return self.x.shape[1] - self.grid[0] * self.grid[1]

    @property
    def patches(self) -> Tensor:
        """The patches as a map (B, D, h, w), a view."""
        return self.x[:, self.before :].transpose(1, 2).unflatten(2, self.grid)


def embed(encoder: nn.Module, images: Tensor) -> Tokens:
    """Prefix and patches of images (B, 3, H, W), with positions.

    Raises BadInput for images whose sides are no multiples of the patch.
    """
    side, (height, width) = patch_side(encoder), images.shape[-2:]
    if height % side or width % side:
        raise BadInput(
            f"images of {height}x{width} pixels, for patches of {side}; take a crop whose sides {side} divides"
        )
    placed = encoder._pos_embed(encoder.patch_embed(images))  # EVA's class returns the rotary embedding beside them
    x, rope = placed if isinstance(placed, tuple) else (placed, None)
    return Tokens(encoder.norm_pre(x), (images.shape[-2] // side, images.shape[-1] // side), rope)


def run(block: nn.Module, tokens: Tokens, mask: Tensor | Guided | None = None) -> Tokens:
    """One block; `mask` is true where a query may see a key, or is added to the logits, (B or 1, heads or 1, T, T)."""
    rotary = {} if tokens.rope is None else {"rope": tokens.rope}
    if not isinstance(mask, Guided):
        return Tokens(block(tokens.x, attn_mask=mask, **rotary), tokens.grid, tokens.rope)
    with scaled(block.attn, mask):
        return Tokens(block(tokens.x, attn_mask=mask.mask, **rotary), tokens.grid, tokens.rope)


def block_of(parameter: str) -> int | None:
    """Block that a parameter of timm's vision transformer belongs to; embeddings and prefix count with the first.

    None: the last norm, behind all blocks.
    """
    if parameter.startswith("blocks."):
        return int(parameter.split(".")[1])
    return None if parameter.startswith(("norm.", "fc_norm.")) else 0
