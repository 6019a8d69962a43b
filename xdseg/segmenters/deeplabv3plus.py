"""DeepLabV3+: atrous pyramid pooling on a ResNet, refined with its stride-4 map.

Chen et al., ECCV 2018. Encoder and decoder are those of segmentation-models-pytorch. Departs from its DeepLabV3Plus:
the head's logits stay at stride 4, and are resized with align_corners off like all scores here.
"""

from collections.abc import Sequence

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import initialization
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.encoders import fill
from xdseg.settings.segmenters import DeepLabV3Plus as Settings
from xdseg.training.ranks import whole

LEVELS = 5  # halvings in the encoder; the decoder reads two of its maps
FINE_LEVEL, FINE_STRIDE = 2, 4
MAPS = {"fine": FINE_LEVEL, "deep": LEVELS}


class DeepLabV3Plus(Segmenter):
    """The network; `head` and `decoder` take the head's learning rate."""

    divisible = True

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        self.encoder = smp.encoders.get_encoder(
            settings.encoder, depth=LEVELS, weights=None, output_stride=settings.output_stride
        )
        self.decoder = DeepLabV3PlusDecoder(
            encoder_channels=self.encoder.out_channels,
            encoder_depth=LEVELS,
            out_channels=settings.decoder_channels,
            atrous_rates=settings.atrous_rates,
            output_stride=settings.output_stride,
            aspp_separable=True,
            aspp_dropout=settings.aspp_dropout,
        )
        self.head = nn.Conv2d(settings.decoder_channels, len(self.classes), kernel_size=1)
        initialization.initialize_decoder(self.decoder)
        initialization.initialize_head(self.head)

    def describe(self) -> Description:
        """Two maps, no attention."""
        channels, stride = self.encoder.out_channels, self.settings.output_stride
        maps = (MapSpec("fine", channels[FINE_LEVEL], FINE_STRIDE), MapSpec("deep", channels[LEVELS], stride))
        return Description(classes=self.classes, maps=maps, multiple=stride)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The stride-4 and the deepest map. Raises BadInput for one image in training, which batch norm cannot take."""
        if self.training and len(images) == 1 and whole(1) == 1:
            raise BadInput(
                "deeplabv3plus: batch norm needs 2 images per round; raise training.batch or lower accumulate"
            )
        levels = self.encoder(images)
        return Features(maps={name: levels[level] for name, level in MAPS.items()})

    def decode(self, features: Features, *, steer: Steer | None = None) -> DensePrediction:
        """Logits (B, K, H / 4, W / 4)."""
        levels = {MAPS[name]: value for name, value in features.maps.items()}
        decoded = self.decoder([levels.get(level) for level in range(LEVELS + 1)])
        return DensePrediction(self.head(decoded), mean_over=self.settings.mean_over)

    def load_pretrained(self) -> None:
        """Fill the encoder as the setting says."""
        fill(self.encoder, self.settings.weights, name=self.settings.encoder, segmenter="deeplabv3plus")
