"""Recipes of the small pre-trained encoders."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.clip import Clip
from xdseg.settings.training import Share, Span, Training

COARSEST = 32  # pixels per cell of the coarsest map of any encoder


class Images(Settings):
    """Generated images to learn from: street scenes of styles that no domain has, and abstract textures."""

    seed: int = Field(0, description="of all images")
    count: int = Field(1600, gt=0, description="images; crops of each are seen many times")
    scenes: Share = Field(0.6, description="share of street scenes; the rest are textures")
    height: int = Field(160, ge=64, description="of an image, in pixels")
    width: int = Field(320, ge=64, description="of an image, in pixels")


class Masking(Settings):
    """What is hidden: square patches, replaced by the mean colour."""

    ratio: float = Field(0.6, gt=0, lt=1, description="share of patches hidden; SimMIM: 0.6")
    patch: int = Field(16, gt=0, description="side of a patch in pixels; must divide the crop")


class Backbone(Settings):
    """One pre-training: masked image modelling on generated images."""

    encoder: Literal["resnet18", "mit_b0", "xdseg_vit_tiny_patch8"]
    images: Images = Images()
    crop: int = Field(128, gt=0, description="side of the square crop in pixels")
    scale: Span = Field((0.8, 1.6), description="resizing factor before the crop, drawn uniformly")
    masking: Masking = Masking()
    decoder_channels: int = Field(96, gt=0, description="of the light decoder, which is thrown away")
    seed: int = Field(0, description="of initial weights, crops and masks")
    training: Training

    @model_validator(mode="after")
    def _crop_fits(self) -> "Backbone":
        for side in (self.masking.patch, COARSEST):
            if self.crop % side:
                raise ValueError(f"crop {self.crop} is no multiple of {side}")
        return self


def _kind(entry: Any) -> str:
    """What a recipe is told by: its key `kind`, which those of masked image modelling do not have."""
    said = entry.get("kind") if isinstance(entry, dict) else getattr(entry, "kind", None)
    return "masked" if said is None else str(said)


Recipe = Annotated[
    Annotated[Backbone, Tag("masked")] | Annotated[Clip, Tag("clip")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="no such kind; take clip, or leave kind out for masked image modelling",
    ),
]
