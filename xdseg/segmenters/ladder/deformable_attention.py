"""Deformable attention over maps of several levels (Deformable DETR, Zhu et al., ICLR 2021)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.contract import Size
from xdseg.segmenters.ladder.sampling import weighted_samples


def centres(sizes: Sequence[Size], device: torch.device) -> Tensor:
    """Where the cells of maps lie, map by map and row by row: (cells, 2), x before y, 1 at the far edge; float32."""
    found = []
    for height, width in sizes:
        y, x = ((torch.arange(side, device=device) + 0.5) / side for side in (height, width))
        found.append(torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), -1).flatten(0, 1))
    return torch.cat(found)


def in_cells(places: Tensor, size: Size) -> Tensor:
    """Places (Q, 2) counted in cells of a map, 0 in the centre of the first."""
    height, width = size
    return torch.stack((places[:, 0] * width - 0.5, places[:, 1] * height - 0.5), -1)


def precise(x: Tensor) -> Tensor:
    """In float32, where autocast gave less: half a precision moves samples by whole percents of a cell."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class DeformableAttention(nn.Module):
    """Each query asks for points near its own place in each level, and mixes what it finds there.

    `inner` is the width of the values, split among the heads. At first each head looks in a direction of its own, one
    cell further with each point.
    """

    def __init__(self, width: int, *, heads: int, levels: int, points: int, inner: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self._initialise()

    def _initialise(self) -> None:
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.weights, self.value, self.output):
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack((angles.cos(), angles.sin()), -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)  # onto the edge of a square
        steps = torch.arange(1, self.points + 1).view(1, 1, -1, 1)
        with torch.no_grad():
            self.offsets.bias.copy_((directions.view(-1, 1, 1, 2) * steps).expand(-1, self.levels, -1, -1).flatten())

    def forward(self, queries: Tensor, places: Tensor, cells: Tensor, sizes: Sequence[Size]) -> Tensor:
        """(B, Q, width), for queries (B, Q, width) at places (Q, 2) as of `centres` and cells (B, N, width).

        The cells are those of maps of `sizes`, map by map and row by row.
        """
        shape = (*queries.shape[:2], self.heads, self.levels, self.points)
        offsets = self.offsets(queries).view(*shape, 2)
        weights = precise(self.weights(queries)).view(*shape[:3], -1).softmax(-1).view(shape)
        values = precise(self.value(cells)).unflatten(2, (self.heads, -1))  # (B, N, heads, C)
        parts = values.split([height * width for height, width in sizes], dim=1)
        sums = 0
        for level, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            around = in_cells(places, size).view(1, -1, 1, 1, 2) + offsets[:, :, :, level]
            sums = sums + weighted_samples(part.unflatten(1, size), around, weights[:, :, :, level])
        return self.output(sums.flatten(2).to(queries.dtype))
