"""Regions of a map: soft groups of its pixels, each around one cell of a square grid.

The step of ACTE (Adaptive Cluster-based Transferability Estimator) in TMT, arXiv 2504.05774, that is documented, if by
a secondary source alone: X in R^{D x h x w}, cells of c x c pixels, one region per cell, and a(p, r), first the hard
membership of a pixel in its cell. L times: f(r) = sum_p a X(p) / sum_p a; s(p, r) = exp(kappa cos(f(r), X(p))) for the
3 x 3 block of cells around p's own, else 0; a(p, r) = s(p, r) / sum s. So the number of regions is the grid's, their
shape follows the image. With L = 0 they are the cells: equal patches, as in TVT.

Ours: a border is where a neighbour is masked out, not where a similarity is 0; sides are padded to whole cells, and
padded pixels have no mass. Cost is linear in pixels: at most nine candidates each.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.contract import Size

EPSILON = 1e-6  # below every length and mass that counts
STEPS = tuple(product(range(3), repeat=2))  # of the 3 x 3 cells, row by row, from the upper left
OWN = STEPS.index((1, 1))  # a pixel's own cell among them
BAND = 64 * 64  # cells that are looked at at a time: more do not stay in a processor's cache


@dataclass(frozen=True)
class Regions:
    """Regions of a batch of maps (B, D, h, w); G x H cells of `cell` squared pixels."""

    assignment: Tensor  # (B, G, H, cell^2, 9): a(p, r) of each pixel to the cells around its own; 0 for padded pixels
    features: Tensor  # (B, D, G, H): f(r)
    mass: Tensor  # (B, G, H): sum_p a(p, r)
    size: Size  # h, w
    cell: int

    def detached(self) -> "Regions":
        """The same without gradient."""
        parts = {name: getattr(self, name).detach() for name in ("assignment", "features", "mass")}
        return replace(self, **parts)

    def pooled(self, values: Tensor) -> Tensor:
        """Per-pixel (B, C, h, w) to the regions' means (B, C, G, H): sum_p a(p, r) v(p) / sum_p a(p, r)."""
        return _means(self.assignment, in_cells(values.float(), self.cell), self.mass).permute(0, 3, 1, 2)

    def dense(self, values: Tensor) -> Tensor:
        """What regions have, (B, C, G, H), to (B, C, h, w): sum_r a(p, r) v(r)."""
        around = neighbours(values.float().permute(0, 2, 3, 1))  # (B, G, H, 9, C)
        return out_of_cells(self.assignment @ around, self.size, self.cell)

    def indices(self) -> Tensor:
        """(B, h, w) int64: the region that each pixel belongs to most, counted row by row."""
        grid = self.mass.shape[1:]
        numbers = (
            torch.arange(grid.numel(), device=self.mass.device).view(1, *grid, 1).expand(len(self.mass), -1, -1, -1)
        )
        around = neighbours(numbers.float())[..., 0]  # (B, G, H, 9)
        best = self.assignment.argmax(-1)  # (B, G, H, cell^2)
        return out_of_cells(around.gather(-1, best)[..., None], self.size, self.cell)[:, 0].long()


def cluster(x: Tensor, *, cell: int, iterations: int, sharpness: float, full_gradient: bool = False) -> Regions:
    """Regions of (B, D, h, w), in float32; `iterations` is L, `sharpness` kappa.

    The assignment carries no gradient, and f(r) carries that of its mean alone, unless `full_gradient` is set.
    """
    x = x.float()
    pixels = in_cells(x, cell)  # (B, G, H, c^2, D)
    inside = in_cells(x.new_ones(1, 1, *x.shape[-2:]), cell)  # (1, G, H, c^2, 1), 0 for padding
    with torch.set_grad_enabled(torch.is_grad_enabled() and full_gradient):
        assignment = hard(pixels, inside)
        closed = neighbours(inside.new_ones(1, *inside.shape[1:3], 1))[..., None, :, 0] == 0  # (1, G, H, 1, 9)
        scale = sharpness / torch.linalg.vector_norm(pixels, dim=-1, keepdim=True).clamp(min=EPSILON)
        for _ in range(iterations):
            centres = F.normalize(_means(assignment, pixels, masses(assignment)), dim=-1, eps=EPSILON)
            assignment = _together(
                (scale[:, band] * (pixels[:, band] @ neighbours(centres, band).transpose(-1, -2)))  # kappa cos
                .masked_fill(closed[:, band], -torch.inf)
                .softmax(-1)
                * inside[:, band]
                for band in _bands(pixels)
            )
    mass = masses(assignment)
    return Regions(assignment, _means(assignment, pixels, mass).permute(0, 3, 1, 2), mass, tuple(x.shape[-2:]), cell)


def hard(pixels: Tensor, inside: Tensor) -> Tensor:
    """The assignment (B, G, H, c^2, 9) of every pixel to its own cell."""
    own = pixels.new_zeros(*pixels.shape[:-1], len(STEPS))
    own[..., OWN] = 1
    return own * inside


def in_cells(x: Tensor, cell: int) -> Tensor:
    """(B, C, h, w) to (B, G, H, cell^2, C), with zeros below and to the right up to whole cells."""
    below, right = -x.shape[-2] % cell, -x.shape[-1] % cell
    padded = F.pad(x, (0, right, 0, below)) if below or right else x
    return padded.unflatten(3, (-1, cell)).unflatten(2, (-1, cell)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def out_of_cells(x: Tensor, size: Size, cell: int) -> Tensor:
    """(B, G, H, cell^2, C) to (B, C, *size): the inverse, without what was padded."""
    whole = x.unflatten(3, (cell, cell)).permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
    return whole[..., : size[0], : size[1]]


def neighbours(x: Tensor, band: slice = slice(None)) -> Tensor:
    """Of cells (B, G, H, C), or some of their rows, the 3 x 3 around each, (B, G, H, 9, C); zeros beyond the border."""
    first, end, _ = band.indices(x.shape[1])
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))[:, first : end + 2]
    columns = x.shape[2]
    return torch.stack([padded[:, i : i + end - first, j : j + columns] for i, j in STEPS], dim=3)


def gathered(bands: Iterable[tuple[int, Tensor]], grid: Size) -> Tensor:
    """What cells give to the 3 x 3 cells around, summed where it arrives, (B, G, H, C).

    By bands of rows: the first row of each, and what its cells give, (B, g, H, 9, C).
    """
    total = None
    for first, given in bands:
        if total is None:
            total = given.new_zeros(len(given), grid[0] + 2, grid[1] + 2, given.shape[-1])
        for number, (i, j) in enumerate(STEPS):
            total[:, first + i : first + i + given.shape[1], j : j + grid[1]] += given[..., number, :]
    return total[:, 1 : 1 + grid[0], 1 : 1 + grid[1]]


def masses(assignment: Tensor) -> Tensor:
    """(B, G, H): sum of what pixels give to each region."""
    return gathered([(0, assignment.sum(3)[..., None])], tuple(assignment.shape[1:3]))[..., 0]


def _means(assignment: Tensor, pixels: Tensor, mass: Tensor) -> Tensor:
    """(B, G, H, C): means of pixels (B, G, H, c^2, C) weighted by their assignment."""
    given = ((band.start, assignment[:, band].transpose(-1, -2) @ pixels[:, band]) for band in _bands(pixels))
    return gathered(given, tuple(pixels.shape[1:3])) / mass.clamp(min=EPSILON)[..., None]


def _bands(pixels: Tensor) -> list[slice]:
    """Rows of cells that are looked at together: all of them, unless the map is large."""
    rows, columns = pixels.shape[1:3]
    step = max(1, BAND // columns)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def _together(bands: Iterable[Tensor]) -> Tensor:
    every = list(bands)
    return every[0] if len(every) == 1 else torch.cat(every, dim=1)
