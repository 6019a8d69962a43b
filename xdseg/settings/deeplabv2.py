"""Settings of the segmenter `deeplabv2`."""

from typing import Literal

from pydantic import Field, model_validator

from xdseg.settings.dense import Dense

Norm = Literal["affine-frozen", "trained"]
Input = Literal["imagenet", "caffe"]
WITH_BOTTLENECKS = ("resnet50", "resnet101")


class DeepLabV2(Dense):
    """DeepLabV2 (Chen et al., TPAMI 2018), as AdaptSegNet (Tsai et al., CVPR 2018) and its successors use it."""

    encoder: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet101"
    weights: str | None = Field(
        None,
        description="file with the encoder's weights (.safetensors, .pth), or `imagenet`; of a file that holds "
        "AdaptSegNet's or ADVENT's whole network, a classifier is taken too if it fits",
    )
    branches: Literal[2, 4] = Field(
        2,
        description="summed convolutions, of dilations 6, 12 or 6, 12, 18, 24; AdaptSegNet builds four, of which two "
        "act, and mmsegmentation's dlv2red has two; ADVENT sums four",
    )
    auxiliary: bool = Field(False, description="a second classifier, on layer3's map (AdaptSegNet's multi-level)")
    auxiliary_weight: float = Field(0.1, ge=0, description="of the second classifier's cross entropy")
    norm: Norm = Field(
        "affine-frozen", description="of the encoder's batch norm: scale and shift stay as loaded, or are trained"
    )
    input: Input = Field(
        "imagenet", description="what the encoder reads; `caffe`: BGR from 0 to 255 less the mean, for such weights"
    )
    stride_in: Literal["3x3", "1x1"] = Field(
        "3x3",
        description="convolution of a bottleneck that halves the map: 3x3 in torchvision's, 1x1 in Caffe's and the "
        "lineage's own",
    )
    align_corners: bool = Field(
        False, description="how scores are resized; mmsegmentation's way by default, true in AdaptSegNet and ADVENT"
    )

    @model_validator(mode="after")
    def _has_bottlenecks(self) -> "DeepLabV2":
        if self.stride_in == "1x1" and self.encoder not in WITH_BOTTLENECKS:
            raise ValueError(f"stride_in: {self.encoder} has no 1x1 to choose; take {' or '.join(WITH_BOTTLENECKS)}")
        return self
