"""Settings of the segmenters on MiT encoders."""

from typing import Annotated, Literal

from pydantic import Field

from xdseg.settings.dense import Dense

Encoder = Literal["mit_b0", "mit_b1", "mit_b2", "mit_b3", "mit_b4", "mit_b5"]
Dilations = Annotated[tuple[int, ...], Field(min_length=1)]


class MiT(Dense):
    """What segmenters on a Mix Transformer (SegFormer, Xie et al., NeurIPS 2021) share."""

    encoder: Encoder = "mit_b5"
    weights: str | None = Field(None, description="file with the encoder's weights (.safetensors, .pth), or `imagenet`")
    drop_path: float = Field(0.1, ge=0, lt=1, description="stochastic depth of the last block, rising from 0")
    dropout: float = Field(0.1, ge=0, lt=1, description="of whole channels, before the classifier")


class DAFormer(MiT):
    """DAFormer's network (Hoyer et al., CVPR 2022)."""

    channels: int = Field(256, gt=0, description="of the embedded maps, of each branch and of the fused map")
    dilations: Dilations = Field((1, 6, 12, 18), description="of the branches; dilation 1 is a 1x1 convolution")


class SegFormer(MiT):
    """SegFormer (Xie et al., NeurIPS 2021)."""

    channels: int | None = Field(None, gt=0, description="of the embedded maps; default 256 for B0 and B1, else 768")
