"""Weighted sums of bilinear samples, the inner part of deformable attention, in plain PyTorch.

Each of Q queries takes P samples per head from a map and sums them with weights; beyond the border a map is 0. Two ways
to the same sums: `by_rows` gathers rows of a map with channels last and sums them as it goes, which is many times
faster on a processor; `by_grid` is the usual one by grid_sample, whose gradient is the cheaper for small maps.

In both: values (B, h, w, G, C) of G heads; places (B, Q, G, P, 2), x before y, counted in cells, 0 in the centre of the
first; weights (B, Q, G, P); the sums are (B, Q, G, C).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CORNERS = 4  # cells that a bilinear sample mixes


def weighted_samples(values: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """The faster way for what is asked; on GPUs not by rows, which nobody has measured there."""
    rows = values.device.type == "cpu" and not torch.is_grad_enabled()
    return (by_rows if rows else by_grid)(values, places, weights)


def by_grid(values: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """By grid_sample, head by head."""
    batch, height, width, heads, channels = values.shape
    queries, points = places.shape[1], places.shape[3]
    maps = values.permute(0, 3, 4, 1, 2).reshape(batch * heads, channels, height, width)
    x, y = places.transpose(1, 2).flatten(0, 1).unbind(-1)  # (B G, Q, P)
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)  # [-1, 1] between the outer edges
    samples = F.grid_sample(maps, grid.to(maps.dtype), mode="bilinear", align_corners=False)
    shares = weights.transpose(1, 2).reshape(batch * heads, 1, queries, points)
    sums = (samples * shares).sum(-1)  # (B G, C, Q)
    return sums.view(batch, heads, channels, queries).permute(0, 3, 1, 2)


def by_rows(values: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """By embedding_bag: of each query and head one bag, holding the corners of all its samples."""
    batch, height, width, heads, channels = values.shape
    queries, points = places.shape[1], places.shape[3]
    table = F.pad(values, (0, 0, 0, 0, 1, 1, 1, 1)).view(-1, channels)  # with a frame of zeros
    row, cell = (width + 2) * heads, heads  # how far apart neighbours lie in the table
    x, y = places[..., 0].clamp(-1, width), places[..., 1].clamp(-1, height)
    left, top = x.detach().floor().clamp(max=width - 1), y.detach().floor().clamp(max=height - 1)
    first = torch.arange(batch, device=x.device, dtype=torch.int32).view(-1, 1, 1, 1) * ((height + 2) * row)
    first = first + torch.arange(heads, device=x.device, dtype=torch.int32).view(-1, 1) + (row + cell)
    start = (top * (width + 2) + left).int() * cell + first  # of the upper left corner
    lower = weights * (y - top)
    lower_right, upper = lower * (x - left), weights - lower
    upper_right = upper * (x - left)
    cells = torch.stack((start, start + cell, start + row, start + (row + cell)), -1)
    shares = torch.stack((upper - upper_right, upper_right, lower - lower_right, lower_right), -1)
    cells, shares = (part.reshape(-1, points * CORNERS) for part in (cells, shares))
    sums = F.embedding_bag(cells, table, per_sample_weights=shares.to(table.dtype), mode="sum")
    return sums.view(batch, queries, heads, channels)
