"""Predictions of networks with one logit per class and cell."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from xdseg.data.tensors import IGNORE
from xdseg.segmenters.contract import Prediction, Size
from xdseg.settings.dense import MeanOver
from xdseg.training.ranks import global_sum, whole


def pixel_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, *, mean_over: MeanOver = "labelled"
) -> Tensor:
    """Cross entropy of (B, K, H, W) summed with `weights` over labelled pixels, over their number; 0 if there is none.

    With `mean_over` "all" over the number of all pixels: the fewer of a batch are labelled, the less it counts.
    The divisor does not contain the weights: a weight says how much a pixel counts, so halving all halves the loss.
    It counts pixels over all processes that share the batch.
    """
    entropy = F.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORE)  # (B, H, W), 0 where ignored
    if weights is not None:
        entropy = entropy * weights
    if mean_over == "all":
        return entropy.sum() / (whole(len(labels)) * labels[0].numel())
    return entropy.sum() / global_sum((labels != IGNORE).sum()).clamp(min=1)


@dataclass(frozen=True)
class DensePrediction(Prediction):
    """Logits (B, K, h, w), resized bilinearly to what is asked for."""

    logits: Tensor
    mean_over: MeanOver = "labelled"
    align_corners: bool = False

    def scores(self, size: Size) -> Tensor:
        """Logits at `size`, float32 also under autocast."""
        return F.interpolate(self.logits.float(), size, mode="bilinear", align_corners=self.align_corners)

    def probabilities(self, size: Size) -> Tensor:
        """Softmax of the resized logits."""
        return self.scores(size).softmax(1)

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Mean cross entropy at the labels' size, over the labelled or over all pixels."""
        scores = self.scores(tuple(labels.shape[-2:]))
        return {"cross_entropy": pixel_loss(scores, labels, weights, mean_over=self.mean_over)}
