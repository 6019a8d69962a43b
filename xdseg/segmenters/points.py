"""Masks at sampled points, instead of whole masks (PointRend, Kirillov et al., CVPR 2020).

Points are (x, y) in [0, 1] of the image's width and height. A class's mask is never made: what it is at a point follows
from the labels of the four pixels around it, which costs the same for 2 classes as for 150.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.data.tensors import IGNORE
from xdseg.settings.mask_loss import SetLoss
from xdseg.training.ranks import Share, rand, row_share


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Maps (R, C, h, w) at points (R, N, 2), as (R, C, N): bilinear, 0 beyond the border."""
    return F.grid_sample(maps, 2 * points[:, None] - 1, align_corners=False)[:, :, 0]


@dataclass(frozen=True)
class Corners:
    """Labels of the pixels around points, (R, 4, N), IGNORE beyond the border, and their bilinear shares."""

    labels: Tensor
    shares: Tensor

    def masks(self, classes: Tensor) -> Tensor:
        """What the mask of class `classes` (R,) is at the points, (R, N) in [0, 1]; ignored pixels are in no mask."""
        return (self.shares * (self.labels == classes[:, None, None])).sum(1)

    def all_masks(self, classes: int) -> Tensor:
        """The masks of the classes 0 to classes - 1, (R, classes, N)."""
        ids = torch.arange(classes, device=self.labels.device)[:, None]
        pairs = zip(self.labels.unbind(1), self.shares.unbind(1), strict=True)
        return sum(share[:, None] * (label[:, None] == ids) for label, share in pairs)


def corners(labels: Tensor, points: Tensor, images: Tensor) -> Corners:
    """Of points (R, N, 2), where the i-th row lies on image `images[i]` of labels (B, H, W)."""
    height, width = labels.shape[-2:]
    place = points * points.new_tensor((width, height)) - 0.5  # in pixels between centres
    first = place.floor()
    right, low = (place - first).unbind(-1)
    x = first[..., 0].long()[:, None] + torch.tensor((0, 1, 0, 1), device=labels.device)[:, None]  # (R, 4, N)
    y = first[..., 1].long()[:, None] + torch.tensor((0, 0, 1, 1), device=labels.device)[:, None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found = labels[images[:, None, None], y.clamp(0, height - 1), x.clamp(0, width - 1)]
    shares = torch.stack([(1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low], dim=1)
    return Corners(torch.where(inside, found, IGNORE), shares)


def pixel_weights(weights: Tensor, points: Tensor, images: Tensor) -> Tensor:
    """Weights (B, H, W) of the pixels that hold the points (R, N, 2), as (R, N): no mixture, so that 1 remains 1."""
    height, width = weights.shape[-2:]
    x, y = (points * points.new_tensor((width, height))).long().unbind(-1)
    return weights[images[:, None], y.clamp(max=height - 1), x.clamp(max=width - 1)]


def draw(rows: int, number: int, *, stream: torch.Generator, share: Share | None = None) -> Tensor:
    """(rows, number, 2), uniform in [0, 1), on the stream's device; a row per image, or `share` of other rows."""
    return rand(rows, number, 2, generator=stream, device=stream.device, share=share)


@torch.no_grad()
def uncertain_points(logits: Tensor, settings: SetLoss, *, stream: torch.Generator) -> Tensor:
    """Points (M, N, 2) for mask logits (M, h, w): most where the mask is least certain, the rest anywhere."""
    masks = row_share(len(logits), logits.device)
    candidates = draw(len(logits), int(settings.points * settings.oversample), stream=stream, share=masks)
    kept = int(settings.points * settings.importance)
    certainty = sample(logits[:, None], candidates)[:, 0].abs()
    best = certainty.topk(kept, dim=1, largest=False, sorted=False).indices
    chosen = candidates.gather(1, best[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, draw(len(logits), settings.points - kept, stream=stream, share=masks)], dim=1)
