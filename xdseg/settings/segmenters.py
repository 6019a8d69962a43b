"""Settings of the segmenters that come with XDSeg."""

from typing import Literal

from pydantic import Field

from xdseg.settings.dense import Dense


class DeepLabV3Plus(Dense):
    """DeepLabV3+ (Chen et al., ECCV 2018) on a ResNet of segmentation-models-pytorch."""

    encoder: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet18"
    weights: str | None = Field(None, description="file with the encoder's weights (.safetensors, .pth), or `imagenet`")
    output_stride: Literal[8, 16] = Field(16, description="pixels per cell of the encoder's last map")
    decoder_channels: int = Field(256, gt=0)
    atrous_rates: tuple[int, int, int] = Field((12, 24, 36), description="dilations of the pyramid pooling")
    aspp_dropout: float = Field(0.5, ge=0, lt=1)
