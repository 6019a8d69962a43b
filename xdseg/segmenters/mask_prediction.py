"""Predictions of networks whose queries each give a mask and a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.contract import Prediction, Size
from xdseg.segmenters.mask_loss import set_loss
from xdseg.settings.mask_loss import SetLoss

TINY = 1e-20  # of a score, so that a pixel that no mask claims has equal probabilities instead of 0 / 0
SEEDS = 1 << 62


def class_scores(masks: Tensor, classes: Tensor, size: Size) -> Tensor:
    """(B, K, *size) float32: over queries, class probability ("no object" dropped) times mask probability.

    Mask logits (B, Q, h, w) are resized bilinearly before the sigmoid, class logits are (B, Q, K + 1).
    """
    with torch.autocast(masks.device.type, enabled=False):
        resized = masks.float()
        if tuple(masks.shape[-2:]) != tuple(size):
            resized = F.interpolate(resized, size, mode="bilinear", align_corners=False)
        shares = classes.float().softmax(-1)[..., :-1]
        return torch.einsum("bqk,bqhw->bkhw", shares, resized.sigmoid())


def normalised(scores: Tensor) -> Tensor:
    """Scores (B, K, H, W), none negative, as probabilities: each pixel's sum to 1 over the classes."""
    raised = scores + TINY
    return raised / raised.sum(1, keepdim=True)


def point_stream(supervised: bool) -> torch.Generator | None:
    """For a prediction in training, a stream that begins where torch's global generator stands; else None.

    One number is drawn when the prediction is made, so that its loss is a function: equal whenever, and however often,
    it is asked for.
    """
    if not supervised:
        return None
    return torch.Generator().manual_seed(int(torch.randint(SEEDS, ())))


@dataclass(frozen=True)
class MaskPrediction(Prediction):
    """Mask logits (B, Q, h, w) and class logits (B, Q, K + 1), the last class being "no object".

    Of several predictions the last is the one that counts; all are supervised. The points of the loss are drawn on the
    logits' device from the seed of `stream`; without a stream from seed 0.
    """

    masks: Sequence[Tensor]
    classes: Sequence[Tensor]
    settings: SetLoss
    stream: torch.Generator | None = None

    def scores(self, size: Size) -> Tensor:
        """Sum over queries of class and mask probability, in [0, queries]."""
        return class_scores(self.masks[-1], self.classes[-1], size)

    def probabilities(self, size: Size) -> Tensor:
        """Scores over their sum."""
        return normalised(self.scores(size))

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The set loss at the labels' size: terms class, mask and dice over all predictions."""
        stream = self.fresh_stream(labels.device)
        return set_loss(self.masks, self.classes, labels, weights, self.settings, stream=stream)

    def fresh_stream(self, device: torch.device) -> torch.Generator:
        """The stream of the loss's points, at its beginning."""
        return torch.Generator(device).manual_seed(self.stream.initial_seed() if self.stream else 0)
