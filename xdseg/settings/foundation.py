"""Settings of Mask2Former on one foundation model, tuned in one way or another."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.mask2former import Mask2Former
from xdseg.settings.neck import Neck
from xdseg.settings.tunings import Frozen, Tuning


class Foundation(Settings):
    """Encoder, tuning, neck and decoder. Defaults are those of Rein's and SoMA's frozen DINOv2."""

    encoder: str = Field("vit_large_patch14_dinov2", description="vision transformer of timm, by its name there")
    weights: str | None = Field(
        None, description="file of the encoder (.safetensors, .pth, .bin, .ckpt), or `timm`: what timm publishes"
    )
    patch: int | None = Field(16, gt=0, description="side of a patch in pixels, resampled on load; null: the encoder's")
    size: int | tuple[int, int] | None = Field(
        None, description="side, or [height, width], of the images that positions are stored for; null: the encoder's"
    )
    statistics: Literal["own", "imagenet"] = Field(
        "own",
        description="mean and deviation that images are brought to: what timm knows the encoder by, or ImageNet's",
    )
    fused: bool = Field(
        True, description="the encoder's attention as one kernel; false suits small images on a CPU, see EoMT's"
    )
    drop_path: float = Field(0.0, ge=0, lt=1, description="stochastic depth of the last block, rising from 0")
    blocks: tuple[int, int, int, int] | None = Field(
        None,
        description="whose patches the neck reads, from 0, in rising order; null: those that end a third, half, two "
        "thirds and all of the encoder, which of 24 are 7, 11, 15 and 23",
    )
    tuning: Tuning = Field(Frozen(kind="frozen"), description="{kind: ...}, what is trained of the encoder")
    neck: Neck = Neck(scaling="bilinear")
    decoder: Mask2Former = Field(Mask2Former(), description="with learnt queries, or those of the tuning (Rein)")
    decay_embeddings: bool = Field(
        False, description="whether weight decay reaches the decoder's queries, their positions and those of its levels"
    )
