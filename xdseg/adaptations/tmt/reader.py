"""ACTE on one map: projection, regions, region discriminator, and an auxiliary head that says what it is unsure of.

Reconstruction: the discriminator has the shape of TVT's (Yang et al., WACV 2023), and reads f(r) through a reversed
gradient, so the projection is on the side of the features. The head's loss trains head and projection, not the map.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.tmt.clustering import Regions, cluster
from xdseg.adaptations.tmt.need import transferability
from xdseg.adaptations.tmt.prototypes import Prototypes
from xdseg.adaptations.tmt.reversal import reversed_gradient
from xdseg.segmenters.contract import MapSpec
from xdseg.settings.tmt import Acte
from xdseg.training.ranks import global_sum, rand


@dataclass(frozen=True)
class Read:
    """A map, and what was made of it."""

    reader: "Reader"
    feature: Tensor  # (B, C, h, w), as it was seen
    x: Tensor  # (B, D, h, w), projected
    regions: Regions

    def detached(self) -> "Read":
        """The same without gradient."""
        return replace(self, x=self.x.detach(), regions=self.regions.detached())


class Reader(nn.Module):
    """Of one map that attention sites can see. All of it computes in float32."""

    def __init__(self, spec: MapSpec, settings: Acte, classes: int) -> None:
        super().__init__()
        self.settings, self.cell = settings, max(1, round(settings.cell_px / spec.stride))
        self.projection = nn.Conv2d(spec.channels, settings.width, kernel_size=1)
        self.norm = nn.LayerNorm(settings.width)
        self.discriminator = RegionDiscriminator(settings)
        self.head = nn.Conv2d(settings.width, classes, kernel_size=1)
        proto = settings.transferability == "proto"
        self.prototypes = Prototypes(classes, settings.width, rate=settings.prototype_rate) if proto else None

    def read(self, feature: Tensor) -> Read:
        """Regions of (B, C, h, w), with gradient where it is enabled."""
        with torch.autocast(feature.device.type, enabled=False):
            settings, x = self.settings, self.projected(feature)
            how = {"cell": self.cell, "iterations": settings.iterations, "sharpness": settings.sharpness}
            return Read(self, feature, x, cluster(x, **how, full_gradient=settings.gradient == "full"))

    def projected(self, feature: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        return self.norm(self.projection(feature.float()).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def transfer(self, regions: Regions, *, seen_from: int) -> Tensor:
        """T(r), (B, G, H) in [0, 1]; prototypes are those of the domain that the image is not of, `seen_from`."""
        if self.prototypes is not None:
            return self.prototypes.likeness(regions.features, domain=seen_from)
        return transferability(self.discriminator(regions.features), self.settings.transferability)

    def verdict(self, regions: Regions) -> Tensor:
        """The discriminator's logits (B, G, H), without gradient and without dropout."""
        with torch.autocast(regions.mass.device.type, enabled=False):
            return self.discriminator(regions.detached().features)

    def probabilities(self, x: Tensor) -> Tensor:
        """The head's, (B, K, h, w)."""
        return self.head(x).softmax(1)

    def head_logits(self, feature: Tensor) -> Tensor:
        """(B, K, h, w) of the head, with gradient for head and projection alone."""
        with torch.autocast(feature.device.type, enabled=False):
            return self.head(self.projected(feature.detach()))

    def domain_loss(self, regions: Regions, label: float, *, reversal: float, draws: torch.Generator) -> Tensor:
        """Cross entropy of the discriminator, weighted by the regions' masses; features get the reversed gradient."""
        with torch.autocast(regions.mass.device.type, enabled=False):
            logits = self.discriminator(reversed_gradient(regions.features, reversal), draws=draws)
            losses = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label), reduction="none")
            return (regions.mass * losses).sum() / global_sum(regions.mass.sum())


class RegionDiscriminator(nn.Module):
    """Three layers on features of regions (B, D, G, H), to a logit (B, G, H), high for the source."""

    def __init__(self, settings: Acte) -> None:
        super().__init__()
        self.dropout = settings.dropout
        inner = settings.hidden
        self.hidden = nn.ModuleList([nn.Linear(settings.width, inner), nn.Linear(inner, inner)])
        self.answer = nn.Linear(settings.hidden, 1)

    def forward(self, features: Tensor, draws: torch.Generator | None = None) -> Tensor:
        """Without `draws` nothing is dropped, so that equal regions get equal answers."""
        x = features.permute(0, 2, 3, 1)
        for layer in self.hidden:
            x = F.relu(layer(x))
            if draws is not None and self.dropout:
                kept = rand(*x.shape, generator=draws) >= self.dropout
                x = x * kept.to(x) / (1 - self.dropout)
        return self.answer(x)[..., 0]
