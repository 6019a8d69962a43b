"""Mask2Former's transformer decoder (Cheng et al., CVPR 2022): queries that look only at what their masks hold.

Before each layer a mask is predicted for each query, and the layer's attention to the maps is confined to it, at test
time too; a query whose mask is empty sees everything. Layers take the levels in turn, coarsest first.

Departs from other code in speed alone: a mask for attention is made of the mask map resized to the level, not resized
after it was made, which is the same, as both are linear; and predictions that nobody supervises are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.contract import Features, MapSpec, Site, Size, Steer
from xdseg.segmenters.ladder.attention import Attention
from xdseg.segmenters.ladder.sequences import sines, size_of
from xdseg.segmenters.steering import INPUT, PREDICT, Steering, steering_of
from xdseg.segmenters.vit_steering import joined
from xdseg.settings.mask2former import Mask2Former as Settings

EMBEDDING_LAYERS = 3  # of the masks
LEVEL = "level"  # the finest map that is attended to, among what a steer sees


@dataclass(frozen=True)
class Level:
    """One map as layers read it."""

    size: Size
    values: Tensor  # (B, h w, C)
    keys: Tensor  # values with their positions
    mask_map: Tensor  # (B, C, h w): what masks are made of, at this size; without gradient

    @cached_property
    def grid(self) -> Tensor:
        """The values as a map (B, C, h, w), one view for all who ask."""
        return self.values.transpose(1, 2).unflatten(2, self.size)


class TransformerDecoder(nn.Module):
    """From levels and the map of the masks to mask and class logits."""

    def __init__(self, settings: Settings, *, levels: int, classes: int) -> None:
        super().__init__()
        dim = settings.dim
        self.queries = nn.Parameter(torch.randn(settings.queries, dim))
        self.positions = nn.Parameter(torch.randn(settings.queries, dim))  # of the queries
        self.levels = nn.Parameter(torch.randn(levels, dim))
        self.layers = nn.ModuleList(DecoderLayer(settings) for _ in range(settings.decoder_layers))
        self.norm = nn.LayerNorm(dim)
        hidden = [layer for _ in range(EMBEDDING_LAYERS - 1) for layer in (nn.Linear(dim, dim), nn.ReLU())]
        self.mask_embedding = nn.Sequential(*hidden, nn.Linear(dim, dim))
        self.class_head = nn.Linear(dim, classes + 1)

    def forward(
        self,
        maps: Sequence[Tensor],
        mask_map: Tensor,
        *,
        all_predictions: bool,
        steer: Steer | None = None,
        contents: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Mask logits (B, Q, h, w) and class logits (B, Q, K + 1) before each layer and after the last, or only these.

        Of maps (B, C, h_i, w_i), coarsest first, and `mask_map` (B, C, h, w). `contents` (B, Q, C) are what queries
        begin with, `positions` (Q, C) theirs, by default what was learnt.
        """
        levels = [self.level(x, embedding, mask_map) for x, embedding in zip(maps, self.levels, strict=True)]
        x, found = self.queries.expand(len(mask_map), -1, -1) if contents is None else contents, []
        positions = self.positions if positions is None else positions
        for number, layer in enumerate(self.layers):
            level = levels[number % len(levels)]
            normed = self.norm(x)
            embedded = self.mask_embedding(normed)
            if all_predictions:
                found.append(self.read(normed, embedded, mask_map))
            given = steering_of(
                steer and self.asked(number, levels, steer, partial(self.read, normed, embedded, mask_map))
            )
            given = given or Steering()
            x = layer(x, positions, level, joined(seen(embedded, level, given.opened), given.bias), given.values)
        normed = self.norm(x)
        found.append(self.read(normed, self.mask_embedding(normed), mask_map))
        masks, classes = zip(*found, strict=True)
        return list(masks), list(classes)

    def level(self, x: Tensor, embedding: Tensor, mask_map: Tensor) -> Level:
        """A map (B, C, h, w) as layers read it."""
        size = size_of(x)
        values = x.flatten(2).transpose(1, 2) + embedding
        keys = values + sines(size, x.shape[1], x.device).to(values.dtype)
        resized = F.interpolate(mask_map.detach(), size, mode="bilinear", align_corners=False)
        return Level(size, values, keys, resized.flatten(2))

    def read(self, normed: Tensor, embedded: Tensor, mask_map: Tensor) -> tuple[Tensor, Tensor]:
        """Mask and class logits of normed queries (B, Q, C) and their embeddings."""
        return (embedded @ mask_map.flatten(2)).unflatten(2, size_of(mask_map)), self.class_head(normed)

    def asked(
        self, number: int, levels: Sequence[Level], steer: Steer, predict: Callable[[], tuple[Tensor, Tensor]]
    ) -> Tensor | Steering | None:
        """What a steer says of a layer: it sees the level that is attended to, the finest, and what was predicted."""
        level, maps = levels[number % len(levels)], {LEVEL: levels[-1].grid}
        context = {INPUT: level.grid, PREDICT: predict}
        return steer(f"decoder.{number}", Features(maps, context=context), level.size)


@torch.no_grad()
def seen(embedded: Tensor, level: Level, opened: Tensor | None = None) -> Tensor:
    """(B, 1, Q, h w), true in each query's mask; all true for a query whose mask is empty.

    Keys that are opened, (B, heads or 1, Q or 1, h w), count as part of the mask; the answer then is one per head.
    """
    inside = (embedded @ level.mask_map >= 0)[:, None]
    if opened is not None:
        inside = inside | opened
    return inside | ~inside.any(-1, keepdim=True)


def decoder_sites(settings: Settings, *, layers: int, stride: int) -> list[Site]:
    """The attention of each layer to its level; the finest level has that stride."""
    return [Site(f"decoder.{n}", settings.heads, "cross", MapSpec(LEVEL, settings.dim, stride)) for n in range(layers)]


class DecoderLayer(nn.Module):
    """Masked attention to a level, attention among queries, feed-forward network; norms come after."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        dim, hidden = settings.dim, settings.decoder_feedforward
        self.cross, self.among = (Attention(dim, heads=settings.heads) for _ in range(2))
        self.cross_norm, self.among_norm, self.feedforward_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.widen, self.narrow = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, positions: Tensor, level: Level, mask: Tensor, factor: Tensor | None = None) -> Tensor:
        """Queries (B, Q, C) with their positions (Q, C); mask and factor are of attention to the level."""
        x = self.cross_norm(x + self.cross(x + positions, level.keys, level.values, mask, factor))
        placed = x + positions
        x = self.among_norm(x + self.among(placed, placed, x))
        return self.feedforward_norm(x + self.narrow(F.relu(self.widen(x))))
