"""Masked consistency: where blocks of a target image are hidden, the student must still say what the teacher said.

Hoyer et al., CVPR 2023 (MIC). The teacher labels the whole, plain image; labels and weights are those of the method's
self-training, whose threshold and teacher the published runs share. Modes of the released code: `separatetrgaug`
(synthetic to real) is the default, `separate` (weather and night) is `view: clean, images: both`.

Departs from the released code: a side that the block does not divide has its last blocks cut, where theirs has as many
as rounding gives and stretches them; and `weight` scales all terms of the segmenter, where their `mask_lambda`, 1 in
every published run, scales only the main one and so not the detail term of HRDA.
"""

import math

import torch
from torch import Tensor

from xdseg.adaptations.contract import Adaptation, Needs, PseudoLabels
from xdseg.adaptations.photometric import changed
from xdseg.segmenters.contract import Description, Size
from xdseg.settings.masked_consistency import MaskedConsistency as Settings
from xdseg.training.ranks import gathered, own, rand, whole
from xdseg.training.step import Step

VIEW = "masked"


class MaskedConsistency(Adaptation):
    """The masked images' term; no teacher, labels or parameters of its own."""

    divisible = True
    needs = Needs(target="images", pseudo_labels=True)

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings = settings

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Weighted loss of the student on masked images, under the names of the segmenter's own terms."""
        settings = self.settings
        if not settings.weight:
            return {}
        images, given = self.chosen(step)
        if settings.view == "augmented":
            images = changed(images, settings.views, step.stream("photometric/masked"))
        kept = draw_blocks(images, step.stream("masks"), block=settings.block, ratio=settings.ratio)
        step.add_view(VIEW, images.masked_fill(~kept[:, None], 0))
        terms = step.student(VIEW).prediction.loss(given.labels, given.weights)
        return {name: settings.weight * value for name, value in terms.items()}

    def chosen(self, step: Step) -> tuple[Tensor, PseudoLabels]:
        """The images that are masked (B, 3, H, W), not yet changed, and what is to be said of them."""
        target, given = step.view("target"), step.pseudo_labels()
        if self.settings.images == "target":
            return target, given
        half = max(1, whole(len(target)) // 2)  # of the batch: which images these are depends on no process
        pairs = (
            (step.view("source"), target),
            (step.source.labels, given.labels),
            (torch.ones_like(given.weights), given.weights),
        )
        images, labels, weights = (own(torch.cat([gathered(part)[:half] for part in pair])) for pair in pairs)
        return images, PseudoLabels(labels, weights)


def draw_blocks(images: Tensor, draws: torch.Generator, *, block: int, ratio: float) -> Tensor:
    """(B, H, W) bool, True where images (B, 3, H, W) are kept: blocks from the upper left, each by its own draw."""
    count, (height, width) = len(images), images.shape[-2:]
    grid: Size = (math.ceil(height / block), math.ceil(width / block))
    kept = rand(count, *grid, generator=draws) > ratio
    fine = kept.repeat_interleave(block, dim=1).repeat_interleave(block, dim=2)
    return fine[:, :height, :width].to(images.device)
