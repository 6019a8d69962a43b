"""Class prototypes of both domains, and how much a region is like the nearest one of the other domain.

An alternative to the discriminator, ours: T(r) = max_k (1 + cos(f(r), mu_k)) / 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.training.ranks import global_sum, mean_of_rows

SOURCE, TARGET = 0, 1


class Prototypes(nn.Module):
    """Exponential averages of projected features by class, per domain; saved with what prediction needs."""

    def __init__(self, classes: int, width: int, *, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("means", torch.zeros(2, classes, width))
        self.register_buffer("known", torch.zeros(2, classes, dtype=torch.bool))

    def likeness(self, features: Tensor, *, domain: int) -> Tensor:
        """(B, D, G, H) to (B, G, H) in [0, 1]; 1 while no prototype of that domain is known."""
        known = self.known[domain]
        if not known.any():
            return features.new_ones(features[:, 0].shape)
        means = F.normalize(self.means[domain][known], dim=-1)
        cosines = torch.einsum("bdgh,kd->bkgh", F.normalize(features, dim=1), means)
        return ((1 + cosines.amax(1)) / 2).clamp(0, 1)

    @torch.no_grad()
    def follow(self, x: Tensor, labels: Tensor, *, domain: int) -> None:
        """Move towards the means of (B, D, h, w) by labels (B, h, w); what is no class is passed over."""
        for label in range(self.means.shape[1]):
            chosen = labels == label
            if global_sum(chosen.sum()):
                mean = mean_of_rows(x.permute(0, 2, 3, 1)[chosen])
                old = self.means[domain, label]
                self.means[domain, label] = old.lerp(mean, 1 - self.rate) if self.known[domain, label] else mean
                self.known[domain, label] = True
