"""A segmenter that sees an image twice, as HRDA does: the whole at half size, and the top left quarter as it is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from plugin_example import Toy, ToySettings
from torch import Tensor

from xdseg.segmenters.contract import Description, Features, MapSpec, Part, Prediction, Segmenter
from xdseg.segmenters.dense import DensePrediction

SHARE = 0.1  # of the detail's own loss


@dataclass(frozen=True)
class TwoScales(Prediction):
    """The whole's logits with the detail's in their place, and the detail's alone."""

    fused: DensePrediction
    detail: DensePrediction
    box: tuple[int, int, int, int]

    def scores(self, size):
        """Of the fused logits."""
        return self.fused.scores(size)

    def probabilities(self, size):
        """Of the fused logits."""
        return self.fused.probabilities(size)

    def loss(self, labels: Tensor, weights: Tensor | None = None):
        """Both losses by their shares, the detail's on the labels of its box."""
        whole = self.fused.loss(labels, weights)["cross_entropy"]
        _, _, height, width = self.box
        inside = self.detail.loss(labels[:, :height, :width], None if weights is None else weights[:, :height, :width])
        return {"cross_entropy": (1 - SHARE) * whole + SHARE * inside["cross_entropy"]}


class TwoScaleToy(Segmenter):
    """The toy at two scales; the maps are the whole's, the part `detail` has the quarter's."""

    def __init__(self, classes):
        super().__init__()
        self.toy = Toy(ToySettings(dropout=0), classes)

    def describe(self):
        """Strides are twice the toy's, as it sees the image at half its size."""
        own = self.toy.describe()
        return Description(own.classes, tuple(MapSpec(m.name, m.channels, 2 * m.stride) for m in own.maps), multiple=8)

    def encode(self, images, *, stream=None, steer=None):
        """The whole, and a part."""
        height, width = (side // 2 for side in images.shape[-2:])
        part = Part(self.toy.encode(images[..., :height, :width]), (0, 0, height, width), 1.0)
        return Features(self.toy.encode(F.avg_pool2d(images, 2)).maps, parts={"detail": part})

    def decode(self, features, *, steer=None):
        """Logits at stride 2, the detail's pasted over the whole's."""
        part = features.parts["detail"]
        detail = self.toy.decode(part.features)
        whole = F.interpolate(self.toy.decode(features).logits, scale_factor=2)
        height, width = detail.logits.shape[-2:]
        fused = torch.cat([detail.logits, whole[..., :height, width:]], dim=3)
        return TwoScales(DensePrediction(torch.cat([fused, whole[..., height:, :]], dim=2)), detail, part.box)
