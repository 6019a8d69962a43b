"""What HRDA says: the fused logits, and in the loss a share of the details' own."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from xdseg.segmenters.contract import Prediction, Size
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.hrda.boxes import Box, cut

DETAIL_TERM = "detail"


@dataclass(frozen=True)
class HRDAPrediction(Prediction):
    """`fused` and `detail` are the inner segmenter's predictions with other logits, so that its loss is theirs.

    What further heads say is said of the context.
    """

    fused: DensePrediction
    detail: DensePrediction | None = None  # of the box; None where there are no details
    box: Box | None = None  # in pixels of the labels
    detail_loss: float = 0.0

    @property
    def auxiliary(self) -> Mapping[str, Prediction]:
        """The context's."""
        return self.fused.auxiliary

    def scores(self, size: Size) -> Tensor:
        """Fused logits at `size`, float32."""
        return self.fused.scores(size)

    def probabilities(self, size: Size) -> Tensor:
        """Softmax of the fused logits at `size`."""
        return self.fused.probabilities(size)

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The inner segmenter's terms of what is fused, and `detail`, the sum of those within the box.

        Their weights are 1 - detail_loss and detail_loss; without details the former are whole.
        """
        terms = self.fused.loss(labels, weights)
        if self.detail is None or not self.detail_loss:
            return terms
        inside = self.detail.loss(cut(labels, self.box), None if weights is None else cut(weights, self.box))
        terms = {name: (1 - self.detail_loss) * value for name, value in terms.items()}
        return terms | {DETAIL_TERM: self.detail_loss * sum(inside.values())}
