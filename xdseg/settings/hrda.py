"""Settings of HRDA."""

from pydantic import Field, field_validator, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.wrapped import Wrapped


class HRDA(Settings):
    """HRDA, two resolutions and an attention between them (Hoyer et al., ECCV 2022), around a dense segmenter.

    Defaults are those of the published runs on crops of 1024 pixels.
    """

    inner: Wrapped = Field(description="the segmenter that sees both: {kind: ..., settings}, as in `segmenters:`")
    context_scale: float = Field(
        0.5, gt=0, le=1, description="factor on the image that the context is seen at; one over a whole number"
    )
    detail: int = Field(
        512, gt=0, description="side of a detail crop, in pixels of the image; published: half the crop"
    )
    detail_stride: int = Field(256, gt=0, description="pixels between details at test time and of a teacher")
    divisible: int = Field(8, gt=0, description="pixels that the corner of a detail crop is a multiple of, in training")
    detail_loss: float = Field(
        0.1, ge=0, lt=1, description="weight of the detail crop's loss; the fused one's is 1 less"
    )
    attention_channels: int = Field(256, gt=0, description="of the embedded maps and of their fusion in its head")
    attention_classwise: bool = Field(True, description="one attention per class, or one for all")
    attention_dropout: float = Field(0.1, ge=0, lt=1, description="of whole channels, before its last convolution")

    @property
    def reduction(self) -> int:
        """Pixels of the image per pixel of the context."""
        return round(1 / self.context_scale)

    @field_validator("context_scale")
    @classmethod
    def _one_over_a_whole_number(cls, scale: float) -> float:
        if abs(scale * round(1 / scale) - 1) > 1e-6:
            raise ValueError("the context is reduced by a whole number; take 1, 0.5 or 0.25")
        return scale

    @model_validator(mode="after")
    def _details_leave_no_gap(self) -> "HRDA":
        if self.detail_stride > self.detail:
            raise ValueError(f"detail_stride: {self.detail_stride} leaves gaps between details of {self.detail} pixels")
        return self
