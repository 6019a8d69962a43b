"""Mask2Former's pixel decoder (Cheng et al., CVPR 2022), and what stands in for it where the ladder leaves it out.

Both turn maps, finest first, into what the transformer decoder reads: levels, coarsest first, and the map that masks
are made of, which has the finest map's size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.contract import Size
from xdseg.segmenters.ladder.deformable_attention import DeformableAttention, centres
from xdseg.segmenters.ladder.sequences import flat, sines, size_of, unflat
from xdseg.settings.mask2former import Mask2Former as Settings

NORM_GROUPS = 32


class PixelDecoder(nn.Module):
    """Layers of deformable attention among all maps but the finest, which then takes over the next one."""

    def __init__(self, width: int, settings: Settings, *, levels: int) -> None:
        super().__init__()
        dim = settings.dim
        self.projections = nn.ModuleList(_projection(width, dim) for _ in range(levels))  # coarsest first
        self.levels = nn.Parameter(torch.randn(levels, dim))
        self.layers = nn.ModuleList(self.layer(settings, levels=levels) for _ in range(settings.pixel_layers))
        self.lateral = _projection(width, dim, bias=False)
        self.smooth = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=3, padding=1, bias=False), nn.GroupNorm(NORM_GROUPS, dim), nn.ReLU()
        )
        self.mask_projection = nn.Conv2d(dim, dim, kernel_size=1)

    def layer(self, settings: Settings, *, levels: int) -> "PixelLayer":
        """One of its layers; others may have more in them."""
        return PixelLayer(settings, levels=levels)

    def forward(self, maps: Sequence[Tensor], *beside: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, width, h_i, w_i) to levels (B, dim, h_i, w_i), and the map of the masks (B, dim, h_1, w_1).

        What is given beside them is handed to each layer.
        """
        coarser = maps[:0:-1]
        sizes = [size_of(x) for x in coarser]
        cells = flat([projection(x) for projection, x in zip(self.projections, coarser, strict=True)])
        places = centres(sizes, cells.device)
        waves = [sines(size, cells.shape[-1], cells.device) for size in sizes]
        positions = torch.cat([wave + level for wave, level in zip(waves, self.levels, strict=True)])
        for layer in self.layers:
            cells = layer(cells, positions, places, sizes, *beside)
        levels = unflat(cells, sizes)
        raised = F.interpolate(levels[-1], size_of(maps[0]), mode="bilinear", align_corners=False)
        return levels, self.mask_projection(self.smooth(self.lateral(maps[0]) + raised))


class PixelLayer(nn.Module):
    """Deformable attention of all cells to all levels, and a feed-forward network; norms come after."""

    def __init__(self, settings: Settings, *, levels: int) -> None:
        super().__init__()
        dim, heads = settings.dim, settings.heads
        self.attention = DeformableAttention(dim, heads=heads, levels=levels, points=settings.pixel_points, inner=dim)
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        hidden = settings.pixel_feedforward
        self.widen, self.narrow = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, cells: Tensor, positions: Tensor, places: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Cells (B, N, dim) with their positions (N, dim) and places (N, 2)."""
        return self.fed(self.attended(cells, positions, places, sizes))

    def attended(self, cells: Tensor, positions: Tensor, places: Tensor, sizes: Sequence[Size]) -> Tensor:
        """After the deformable attention."""
        return self.attention_norm(cells + self.attention(cells + positions, places, cells, sizes))

    def fed(self, cells: Tensor) -> Tensor:
        """After the feed-forward network."""
        return self.feedforward_norm(cells + self.narrow(F.relu(self.widen(cells))))


class Projections(nn.Module):
    """Without a pixel decoder: each map is projected by itself."""

    def __init__(self, width: int, settings: Settings, *, levels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(width, settings.dim, kernel_size=1) for _ in range(levels))
        self.mask_projection = nn.Conv2d(width, settings.dim, kernel_size=1)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """(B, width, h_i, w_i) to levels (B, dim, h_i, w_i), and the map of the masks (B, dim, h_1, w_1)."""
        levels = [layer(x) for layer, x in zip(self.layers, maps[:0:-1], strict=True)]
        return levels, self.mask_projection(maps[0])


def _projection(inputs: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1, bias=bias)
    nn.init.xavier_uniform_(convolution.weight)
    return nn.Sequential(convolution, nn.GroupNorm(NORM_GROUPS, outputs))
