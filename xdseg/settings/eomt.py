"""Settings of EoMT."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.mask_loss import SetLoss


class EoMT(Settings):
    """EoMT, the encoder-only mask transformer (Kerssies et al., CVPR 2025)."""

    encoder: str = Field("vit_large_patch14_reg4_dinov2", description="vision transformer of timm, by its name there")
    weights: str | None = Field(
        None,
        description="file of an encoder or of a whole EoMT, told apart by their keys (.safetensors, .pth, .bin); "
        "`timm`: what timm publishes under the encoder's name",
    )
    delta: str | None = Field(None, description="file of published differences (DINOv3) that are added to `weights`")
    class_head: Literal["loaded", "new"] = Field("loaded", description="of a file that holds a whole EoMT")
    patch: int | None = Field(16, gt=0, description="side of a patch in pixels, resampled on load; null: the encoder's")
    size: int | tuple[int, int] | None = Field(
        None, description="side, or [height, width], of the images that positions are stored for; null: the encoder's"
    )
    query_blocks: int = Field(4, gt=0, description="last blocks, which queries pass; published: S, B 3; L 4; g 5")
    queries: int = Field(100, gt=0, description="published: 100 for semantic, 200 for panoptic segmentation")
    masking: Literal["annealed", "always", "never"] = Field(
        "annealed", description="of the queries' attention; `always` masks at test time too"
    )
    fused: bool = Field(
        True, description="attention as one kernel; false suits small images on a CPU, whose kernel is slow to train"
    )
    drop_path: float = Field(0.0, ge=0, lt=1, description="stochastic depth of the last block, rising from 0")
    loss: SetLoss = SetLoss()
