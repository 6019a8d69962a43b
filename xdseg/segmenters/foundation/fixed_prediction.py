"""Predictions whose k-th query answers for the k-th class (tqdm, Pak et al., ECCV 2024), so that none is matched.

Where a class is not in an image, its query is "no object". Optionally classes are also told from pixels directly, by
how alike embeddings of patches and of class names are: the pixel-text loss, a cross entropy at the labels' size.
Regularisers of whole images, which read no labels, are scaled by the mean weight of an image's labelled pixels; an
image without any has no part in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.mask_loss import mean_weights, paired_loss
from xdseg.segmenters.mask_prediction import MaskPrediction
from xdseg.segmenters.matching import Pairs, classes_present
from xdseg.training.ranks import part


def fixed_pairs(labels: Tensor, classes: int) -> Pairs:
    """Query k with class k, in each image of labels (B, H, W) that has the class."""
    images, present = classes_present(labels, classes).nonzero(as_tuple=True)
    return Pairs(images, present, present)


@dataclass(frozen=True)
class FixedPrediction(MaskPrediction):
    """As many queries as classes. `alike` holds logits of classes at patches; None: no pixel-text loss.

    `regularisers` are terms by name, weighted, of each image (B,).
    """

    alike: DensePrediction | None = None
    alike_weight: float = 1.0
    regularisers: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The set loss at the labels' size, terms class, mask and dice; pixel_text; and the regularisers."""
        classes = self.classes[0].shape[-1] - 1
        pairs = [fixed_pairs(labels, classes)] * len(self.masks)
        stream = self.fresh_stream(labels.device)
        terms = paired_loss(self.masks, self.classes, pairs, labels, weights, self.settings, stream=stream)
        if self.alike is not None and self.alike_weight:
            with torch.autocast(labels.device.type, enabled=False):
                (entropy,) = self.alike.loss(labels, weights).values()
            terms["pixel_text"] = self.alike_weight * entropy
        if self.regularisers:
            pixels = torch.ones(labels.shape, device=labels.device) if weights is None else weights.float()
            shares = mean_weights(labels, pixels, classes).images
            terms |= {name: part(len(values)) * (values * shares).mean() for name, values in self.regularisers.items()}
        return terms
