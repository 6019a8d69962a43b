"""Settings of ViT-Adapter and Mask2Former, and of the steps between them and EoMT."""

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.mask_loss import SetLoss

PARTS = ("adapter", "pixel_decoder", "multi_scale")  # in the order in which the ladder leaves them out


class ViTMask2Former(Settings):
    """A plain vision transformer with ViT-Adapter and Mask2Former, of which EoMT's ladder leaves out part by part.

    Defaults are those of the EoMT paper's baseline.
    """

    encoder: str = Field("vit_large_patch14_reg4_dinov2", description="vision transformer of timm, by its name there")
    weights: str | None = Field(
        None, description="file of the encoder (.safetensors, .pth, .bin, .ckpt), or `timm`: what timm publishes"
    )
    patch: int | None = Field(16, gt=0, description="side of a patch in pixels, resampled on load; null: the encoder's")
    size: int | tuple[int, int] | None = Field(
        None, description="side, or [height, width], of the images that positions are stored for; null: the encoder's"
    )
    fused: bool = Field(
        True, description="the encoder's attention as one kernel; false suits small images on a CPU, see EoMT's"
    )
    drop_path: float = Field(0.0, ge=0, lt=1, description="stochastic depth of the last block, rising from 0")

    adapter: bool = Field(True, description="ViT-Adapter; else a pyramid of the last patches")
    adapter_stem: int = Field(64, gt=0, description="channels of the convolutions beside the transformer")
    adapter_heads: int | None = Field(None, gt=0, description="of its deformable attention; null: the encoder's")
    adapter_points: int = Field(4, gt=0, description="that a head looks at in each map")
    adapter_ratio: float = Field(0.5, gt=0, description="width of the values in its attention, of the encoder's")
    adapter_feedforward: float = Field(0.25, gt=0, description="width of its feed-forward networks, of the encoder's")

    pixel_decoder: bool = Field(True, description="Mask2Former's; else each map is projected by itself")
    pixel_layers: int = Field(6, gt=0)
    pixel_points: int = Field(4, gt=0, description="that a head looks at in each map")
    pixel_feedforward: int = Field(1024, gt=0, description="hidden width of its feed-forward networks")

    multi_scale: bool = Field(True, description="decoder layers read three maps in turn; else that of the patches")
    dim: int = Field(256, gt=0, multiple_of=32, description="width of both decoders; group norms have 32 groups")
    heads: int = Field(8, gt=0, description="of the attention in both decoders")
    queries: int = Field(100, gt=0, description="published: 100 for semantic, 200 for panoptic segmentation")
    decoder_layers: int = Field(9, ge=3, description="of the transformer decoder, so that each map is read")
    decoder_feedforward: int = Field(2048, gt=0, description="hidden width of its feed-forward networks")
    loss: SetLoss = SetLoss()

    @property
    def step(self) -> int:
        """Step of the ladder, 0 to 3: how many parts are left out."""
        return sum(not getattr(self, part) for part in PARTS)

    @model_validator(mode="after")
    def _parts_are_left_out_in_order(self) -> "ViTMask2Former":
        kept = [getattr(self, part) for part in PARTS]
        if kept != sorted(kept):
            raise ValueError(f"the ladder leaves out {', '.join(PARTS)} in this order; what is kept must stand last")
        return self

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "ViTMask2Former":
        if self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide dim {self.dim}; take a divisor of it")
        return self
