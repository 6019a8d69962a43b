"""A trained segmenter together with what leads its attention at test time."""

import torch
from torch import Tensor, nn

from xdseg.segmenters.contract import Description, Features, Prediction, Segmenter, Steer


class Steered(Segmenter):
    """The segmenter, with a steer in every pass; it is for prediction and trains nothing."""

    def __init__(self, segmenter: Segmenter, steer: Steer, owner: nn.Module | None = None) -> None:
        super().__init__()
        self.segmenter, self._steer = segmenter, steer
        self.owner = owner  # whose parameters the steer reads, so that they move to a device together

    def describe(self) -> Description:
        """The segmenter's."""
        return self.segmenter.describe()

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The segmenter's, led by its own steer or by the one that is given in its place."""
        return self.segmenter.encode(images, stream=stream, steer=steer or self._steer)

    def decode(self, features: Features, *, steer: Steer | None = None) -> Prediction:
        """Likewise."""
        return self.segmenter.decode(features, steer=steer or self._steer)

    def predict(self, images: Tensor, *, steer: Steer | None = None) -> Tensor:
        """Likewise."""
        return self.segmenter.predict(images, steer=steer or self._steer)

    def probabilities(self, scores: Tensor) -> Tensor:
        """The segmenter's."""
        return self.segmenter.probabilities(scores)
