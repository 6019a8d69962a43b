"""Predictions whose k-th query answers for the k-th class (tqdm, Pak et al., ECCV 2024), so that none is matched.

Where a class is not in an image, its query is "no object". Optionally classes are also told from pixels directly, by
how alike embeddings of patches and of class names are: the pixel-text loss, a cross entropy at the labels' size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.mask_loss import paired_loss
from xdseg.segmenters.mask_prediction import MaskPrediction
from xdseg.segmenters.matching import Pairs, classes_present


def fixed_pairs(labels: Tensor, classes: int) -> Pairs:
    """Query k with class k, in each image of labels (B, H, W) that has the class."""
    images, present = classes_present(labels, classes).nonzero(as_tuple=True)
    return Pairs(images, present, present)


@dataclass(frozen=True)
class FixedPrediction(MaskPrediction):
    """As many queries as classes. `alike` holds logits of classes at patches; None: no pixel-text loss."""

    alike: DensePrediction | None = None
    alike_weight: float = 1.0

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The set loss at the labels' size, terms class, mask and dice; and pixel_text."""
        pairs = [fixed_pairs(labels, self.classes[0].shape[-1] - 1)] * len(self.masks)
        stream = self.fresh_stream(labels.device)
        terms = paired_loss(self.masks, self.classes, pairs, labels, weights, self.settings, stream=stream)
        if self.alike is None or self.alike_weight == 0:
            return terms
        with torch.autocast(labels.device.type, enabled=False):
            (entropy,) = self.alike.loss(labels, weights).values()
        return terms | {"pixel_text": self.alike_weight * entropy}
