"""Mix Transformer encoders (SegFormer, Xie et al., NeurIPS 2021), and what all segmenters on them share.

The encoder is that of segmentation-models-pytorch. Where nothing steers a site, its own code runs; where a bias is
given, the same layers run with the bias added to the logits. Weight decay: SegFormer's released recipe spares norms,
and a `pos_block` that no parameter of a Mix Transformer is named by; here, as for every segmenter, biases are spared
too.
"""

from collections.abc import Iterator, Sequence

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Size, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.encoders import fill
from xdseg.segmenters.steering import INPUT, Steering, steering_of
from xdseg.settings.mit import MiT as Settings

STRIDES = (4, 8, 16, 32)
STAGES = tuple(f"stage{number}" for number in range(1, len(STRIDES) + 1))
FIRST_MAP = 2  # the encoder's outputs begin with the image and an empty map


class MiTSegmenter(Segmenter):
    """Encoder and maps; a subclass sets `head`, which turns the four maps into logits (B, K, H / 4, W / 4)."""

    divisible = True
    head: nn.Module

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        self.encoder = smp.encoders.get_encoder(settings.encoder, weights=None)
        self.encoder.reset_drop_path(settings.drop_path)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four maps, finest first."""
        return tuple(self.encoder.out_channels[FIRST_MAP:])

    def describe(self) -> Description:
        """Four maps; the attention of every block is a site."""
        maps = tuple(MapSpec(*spec) for spec in zip(STAGES, self.widths, STRIDES, strict=True))
        before = dict(zip(STAGES, (None, *maps), strict=False))  # a block sees the map of the stage before its own
        sites = tuple(
            Site(name, block.attn.num_heads, reads=before[stage])
            for stage, blocks in _stages(self.encoder)
            for name, block in blocks
        )
        return Description(classes=self.classes, maps=maps, multiple=STRIDES[-1], sites=sites)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The maps of the four stages."""
        if steer is not None:
            return Features(steered_maps(self.encoder, images, steer))
        return Features(dict(zip(STAGES, self.encoder(images)[FIRST_MAP:], strict=True)))

    def decode(self, features: Features, *, steer: Steer | None = None) -> DensePrediction:
        """Logits (B, K, H / 4, W / 4); the head has no attention."""
        return DensePrediction(self.head(list(features.maps.values())), mean_over=self.settings.mean_over)

    def load_pretrained(self) -> None:
        """Fill the encoder as the setting says."""
        name = self.settings.encoder
        fill(self.encoder, self.settings.weights, name=name, segmenter=type(self).__name__.lower())


def _stages(encoder: nn.Module) -> Iterator[tuple[str, list[tuple[str, nn.Module]]]]:
    """(stage, [(site, block), ...]) from the finest on."""
    for number, stage in enumerate(STAGES, start=1):
        blocks = getattr(encoder, f"block{number}")
        yield stage, [(f"block{number}.{position}", block) for position, block in enumerate(blocks)]


def steered_maps(encoder: nn.Module, images: Tensor, steer: Steer) -> dict[str, Tensor]:
    """The maps of `encoder(images)`, with the biases that `steer` gives, site by site.

    A steer sees the maps of the stages before, and in the context what enters its block.
    """
    maps, x = {}, images
    for number, (stage, blocks) in enumerate(_stages(encoder), start=1):
        x = getattr(encoder, f"patch_embed{number}")(x)
        for site, block in blocks:
            bias = steer(site, Features(dict(maps), context={INPUT: x}), key_grid(block, tuple(x.shape[-2:])))
            x = block(x) if bias is None else steered_block(block, x, bias)
        maps[stage] = x = getattr(encoder, f"norm{number}")(x).contiguous()
    return maps


def key_grid(block: nn.Module, size: Size) -> Size:
    """Height and width of the spatially reduced map that a block's keys are made of."""
    height, width = size
    return height // block.attn.sr_ratio, width // block.attn.sr_ratio


def steered_block(block: nn.Module, x: Tensor, bias: Tensor | Steering) -> Tensor:
    """A block on (B, C, h, w) whose attention logits are raised by `bias`, broadcastable to (B, heads, hw, keys)."""
    height, width = x.shape[-2:]
    tokens = x.flatten(2).transpose(1, 2)  # (B, hw, C)
    attended = attention(block.attn, block.norm1(tokens), (height, width), bias)
    tokens = tokens + block.drop_path(attended)
    tokens = tokens + block.drop_path(block.mlp(block.norm2(tokens), height, width))
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def attention(layers: nn.Module, tokens: Tensor, size: Size, bias: Tensor | Steering) -> Tensor:
    """Multi-head attention of tokens (B, hw, C) to their spatially reduced selves, with `bias` on its logits."""
    heads, width = layers.num_heads, tokens.shape[-1] // layers.num_heads
    given, reduced = steering_of(bias), tokens
    if layers.sr_ratio > 1:
        grid = tokens.transpose(1, 2).unflatten(2, size)
        reduced = layers.norm(layers.sr(grid).flatten(2).transpose(1, 2))  # (B, keys, C)
    queries = layers.q(tokens).unflatten(2, (heads, width)).transpose(1, 2)  # (B, heads, hw, C / heads)
    keys, values = layers.kv(reduced).unflatten(2, (2, heads, width)).permute(2, 0, 3, 1, 4)
    logits = (queries @ keys.transpose(-2, -1)) * layers.scale  # (B, heads, hw, keys)
    if given.bias is not None:
        logits = logits + given.bias
    if given.values is not None:
        values = values * given.values
    mixed = layers.attn_drop(logits.softmax(-1)) @ values
    mixed = layers.proj_drop(layers.proj(mixed.transpose(1, 2).flatten(2)))
    return mixed if given.gate is None else mixed * given.gate
