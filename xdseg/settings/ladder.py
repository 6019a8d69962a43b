"""Settings of ViT-Adapter and Mask2Former, and of the steps between them and EoMT."""

from pydantic import Field, model_validator

from xdseg.settings.mask2former import Mask2Former

PARTS = ("adapter", "pixel_decoder", "multi_scale")  # in the order in which the ladder leaves them out


class ViTMask2Former(Mask2Former):
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
    multi_scale: bool = Field(True, description="decoder layers read three maps in turn; else that of the patches")

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
