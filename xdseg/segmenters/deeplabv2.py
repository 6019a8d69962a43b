"""DeepLabV2 on a ResNet, in the form that AdaptSegNet's lineage of unsupervised domain adaptation uses.

Chen et al., TPAMI 2018; Tsai et al., CVPR 2018. The ResNet keeps a stride of 8: layer3 and layer4 do not halve the map,
all their 3x3 convolutions are dilated by 2 and 4 instead, those of the first blocks too. The classifier is a sum of
dilated 3x3 convolutions on the last map; a second one may read layer3's (AdaptSegNet's multi-level). The encoder is
that of segmentation-models-pytorch.

Departs from the released code in the stem's pooling, which there rounds up, so that a map of 512 pixels has 65 cells;
here it has 64, as every map here has one cell per stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from xdseg.data.tensors import WHITE, denormalise
from xdseg.segmenters.contract import Description, Features, MapSpec, Prediction, Segmenter, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.encoders import fill
from xdseg.settings.deeplabv2 import DeepLabV2 as Settings

STRIDE = 8
MIDDLE, DEEP = "middle", "deep"
LEVEL = {MIDDLE: 4, DEEP: 5}  # among the encoder's outputs, which begin with the image
DILATIONS = (6, 12, 18, 24)
CLASSIFIER_DEVIATION = 0.01  # of its initial weights
CAFFE_MEAN = (104.00698793, 116.66876762, 122.67891434)  # of blue, green and red, from 0 to 255
LINEAGE_HEADS = ("layer5", "layer6")  # on layer3 and layer4; AdaptSegNet's single one, on layer4, is layer5


class DilatedClassifier(nn.ModuleList):
    """The sum of 3x3 convolutions, one per dilation; (B, inputs, h, w) to logits (B, classes, h, w)."""

    def __init__(self, inputs: int, classes: int, dilations: Sequence[int]) -> None:
        super().__init__(nn.Conv2d(inputs, classes, kernel_size=3, padding=d, dilation=d) for d in dilations)
        for branch in self:
            nn.init.normal_(branch.weight, std=CLASSIFIER_DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        """No normalisation, no activation."""
        first, *others = self
        return sum((branch(x) for branch in others), first(x))


@dataclass(frozen=True)
class DeepLabV2Prediction(DensePrediction):
    """The deep classifier's, which is the network's, and beside it that of the second one."""

    auxiliary: Mapping[str, Prediction] = field(default_factory=dict)
    auxiliary_weight: float = 0.0

    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """The cross entropy of each classifier; a second one of weight 0 has none."""
        terms = super().loss(labels, weights)
        if self.auxiliary and self.auxiliary_weight:
            second = self.auxiliary[MIDDLE].loss(labels, weights)
            terms["auxiliary"] = self.auxiliary_weight * second["cross_entropy"]
        return terms


class DeepLabV2(Segmenter):
    """The network; `head` and `auxiliary` take the head's learning rate."""

    divisible = True

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        self.encoder = smp.encoders.get_encoder(settings.encoder, weights=None, output_stride=STRIDE)
        if settings.stride_in == "1x1":
            _stride_first(self.encoder.layer2[0])
        if settings.norm == "affine-frozen":
            _freeze_affine(self.encoder)
        self.head = self._classifier(DEEP)
        self.auxiliary = self._classifier(MIDDLE) if settings.auxiliary else None

    def _classifier(self, name: str) -> DilatedClassifier:
        dilations = DILATIONS[: self.settings.branches]
        return DilatedClassifier(self.encoder.out_channels[LEVEL[name]], len(self.classes), dilations)

    def _maps(self) -> tuple[str, ...]:
        return (DEEP,) if self.auxiliary is None else (MIDDLE, DEEP)

    def describe(self) -> Description:
        """One map, with a second classifier two and its prediction; no attention."""
        channels = self.encoder.out_channels
        maps = tuple(MapSpec(name, channels[LEVEL[name]], STRIDE) for name in self._maps())
        heads = () if self.auxiliary is None else (MIDDLE,)
        return Description(classes=self.classes, maps=maps, multiple=STRIDE, auxiliary=heads)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """What the classifiers read, at stride 8. One image is enough in training: nothing is pooled to one cell."""
        levels = self.encoder(caffe_input(images) if self.settings.input == "caffe" else images)
        return Features(maps={name: levels[LEVEL[name]] for name in self._maps()})

    def decode(self, features: Features, *, steer: Steer | None = None) -> DeepLabV2Prediction:
        """Logits (B, K, H / 8, W / 8); those of the second classifier as `auxiliary["middle"]`."""
        settings, auxiliary = self.settings, {}
        shared = {"mean_over": settings.mean_over, "align_corners": settings.align_corners}
        if self.auxiliary is not None:
            auxiliary = {MIDDLE: DensePrediction(self.auxiliary(features.maps[MIDDLE]), **shared)}
        logits, weight = self.head(features.maps[DEEP]), settings.auxiliary_weight
        return DeepLabV2Prediction(logits, **shared, auxiliary=auxiliary, auxiliary_weight=weight)

    def load_pretrained(self) -> None:
        """Fill the encoder as the setting says, and each classifier that the file holds in the right shape."""
        settings = self.settings
        found = fill(self.encoder, settings.weights, name=settings.encoder, segmenter="deeplabv2")
        first, second = (_part(found, f"{name}.conv2d_list.") for name in LINEAGE_HEADS)
        _take(self.head, second or first)
        if self.auxiliary is not None and second:
            _take(self.auxiliary, first)


def caffe_input(images: Tensor) -> Tensor:
    """Normalised RGB (B, 3, H, W) to BGR from 0 to 255 less Caffe's mean, as networks converted from there read it."""
    mean = torch.tensor(CAFFE_MEAN, device=images.device).view(-1, 1, 1)
    return denormalise(images).flip(1) * WHITE - mean


def _stride_first(block: nn.Module) -> None:
    """Move the stride of a bottleneck from its 3x3 to the 1x1 before it."""
    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def _freeze_affine(encoder: nn.Module) -> None:
    """Scale and shift of batch norm take no gradient; the running statistics go on following the batches."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _take(head: DilatedClassifier, weights: Mapping[str, Tensor]) -> None:
    """Load a classifier if it is there and of this shape; of four convolutions two take the first, as AdaptSegNet."""
    own = head.state_dict()
    if all(key in weights and weights[key].shape == value.shape for key, value in own.items()):
        head.load_state_dict({key: weights[key] for key in own})
