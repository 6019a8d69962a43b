"""Adversarial alignment of the output space: the target's predictions must look like the source's.

AdaptSegNet (Tsai et al., CVPR 2018) shows discriminators class probabilities, AdvEnt (Vu et al., CVPR 2019) weighted
self-information; otherwise they are one. A discriminator per level learns source from target on detached maps, while
the segmenter learns, against the discriminators as they stand, to have its target maps taken for source. Departs from
the released code in form alone: there the two trainings are passes in turn with switched gradients, here one backward
pass, of the same gradients, serves both. Padding around images smaller than the crop is part of the maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.adaptations.discriminator import Discriminator
from xdseg.adaptations.entropy import self_information
from xdseg.adaptations.levels import at_level, level_weights, term_name
from xdseg.segmenters.contract import Description
from xdseg.settings.adversarial import Adversarial as Settings
from xdseg.settings.training import Training
from xdseg.training.ranks import part
from xdseg.training.step import Step

SOURCE, TARGET = 0.0, 1.0  # labels of the domains


class Adversarial(Adaptation):
    """Terms `adversarial` and `discriminator` of each level: see `xdseg.adaptations.levels`."""

    divisible = True
    needs = Needs(target="images")

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings, self.weights = settings, level_weights(settings, description)
        classes, channels = len(description.classes), settings.discriminator.channels
        levels = {level: Discriminator(classes, channels=channels) for level in self.weights}
        self.discriminators = nn.ModuleDict(levels)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Per level the segmenter's term, weighted, and the discriminator's, which no weight scales."""
        terms: dict[str, Tensor] = {}
        for level, weight in self.weights.items():
            source, target = (self.maps(step, view, level) for view in ("source", "target"))
            judged = self.discriminators[level].judge(target)
            terms[term_name("adversarial", level)] = weight * self.distance(judged, SOURCE)
            terms[term_name("discriminator", level)] = self.discriminator_loss(level, source.detach(), target.detach())
        return terms

    def maps(self, step: Step, view: str, level: str) -> Tensor:
        """What a discriminator sees of a view: (B, K, H, W) in [0, 1], at the images' size."""
        size = tuple(step.view(view).shape[-2:])
        probabilities = at_level(step.student(view).prediction, level).probabilities(size)
        return self_information(probabilities) if self.settings.input == "self-information" else probabilities

    def discriminator_loss(self, level: str, source: Tensor, target: Tensor) -> Tensor:
        """Mean of the distances of two maps' logits to the labels of their domains; ln 2 or 1/4 at chance."""
        discriminator = self.discriminators[level]
        return (self.distance(discriminator(source), SOURCE) + self.distance(discriminator(target), TARGET)) / 2

    def distance(self, logits: Tensor, label: float) -> Tensor:
        """Mean over all cells of how far logits are from saying `label`; this process's part of it."""
        wanted = torch.full_like(logits, label, dtype=torch.float32)
        if self.settings.objective == "least-squares":
            return part(len(logits)) * F.mse_loss(logits.float(), wanted)
        return part(len(logits)) * F.binary_cross_entropy_with_logits(logits.float(), wanted)

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """All discriminators in one group of Adam, at their own peak rate; none where no level takes part."""
        own, parameters = self.settings.discriminator, [p for p in self.parameters() if p.requires_grad]
        group = {"name": "discriminator", "params": parameters, "optimizer": "adam"}
        rates = {"lr": own.lr, "betas": own.betas, "weight_decay": own.weight_decay}
        return [group | rates] if parameters else []
