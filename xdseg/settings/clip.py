"""Recipe of the small vision-language model: CLIP (Radford et al., ICML 2021) on generated scenes with captions."""

from typing import Literal

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.training import Share, Span, Training


class Scenes(Settings):
    """Generated street scenes of styles that no domain has."""

    seed: int = Field(0, description="of all scenes")
    count: int = Field(1600, gt=0, description="scenes; crops of each are seen many times")
    height: int = Field(160, ge=64, description="of a scene, in pixels")
    width: int = Field(320, ge=64, description="of a scene, in pixels")


class Vision(Settings):
    """The image tower: a vision transformer with a class token."""

    width: int = Field(192, gt=0)
    head_width: int = Field(64, gt=0)
    layers: int = Field(8, gt=0, description="as many as the vision model beside it, with which MFuser pairs them")
    patch: int = Field(8, gt=0, description="side in pixels; must divide the crops and `image`")
    image: int = Field(64, gt=0, description="side in pixels of the square that positions are stored for")


class Words(Settings):
    """The text tower: a causal transformer."""

    width: int = Field(128, gt=0)
    heads: int = Field(4, gt=0)
    layers: int = Field(2, gt=0)
    context: int = Field(16, gt=2, description="tokens of a caption, with start and end")


class Wide(Settings):
    """Some steps see larger crops, so that attention learns to read many patches.

    CLIPA (Li et al., NeurIPS 2023) ends with such steps; here they are spread over the whole training.
    """

    crop: int = Field(96, gt=0, description="side in pixels")
    batch: int = Field(64, gt=1, description="crops and captions of such a step")
    every: int = Field(8, gt=0, description="the last of so many steps")


class Clip(Settings):
    """One pre-training: crops of scenes, and captions that tell what is in them, find each other."""

    kind: Literal["clip"]
    images: Scenes = Scenes()
    crop: int = Field(32, gt=0, description="side of the square crop in pixels: small, so that few things are in it")
    wide: Wide | None = Field(Wide(), description="null: all crops are small")
    scale: Span = Field((0.5, 2.0), description="resizing factor before the crop, drawn uniformly")
    embed: int = Field(128, gt=0, description="width of what both towers end in")
    vision: Vision = Vision()
    text: Words = Words()
    patches: Share = Field(
        0.5,
        description="share of the loss that reads an image by the mean of its patches' embeddings, as segmenters read "
        "them, and not by its class token; 0: CLIP's loss alone",
    )
    names: tuple[str, ...] = Field(
        (), description="texts whose tokens have an embedding although captions may lack them: class names, prompts"
    )
    seed: int = Field(0, description="of initial weights, crops and captions")
    training: Training

    def crops_at(self, step: int) -> tuple[int, int]:
        """Side and number of the crops that a step sees."""
        if self.wide and (step + 1) % self.wide.every == 0:
            return self.wide.crop, self.wide.batch
        return self.crop, self.training.batch

    @model_validator(mode="after")
    def _fits(self) -> "Clip":
        for side in (self.crop, self.vision.image, *([self.wide.crop] if self.wide else [])):
            if side % self.vision.patch:
                raise ValueError(f"crop or image of {side} is no multiple of {self.vision.patch}")
        if self.vision.width % self.vision.head_width or self.text.width % self.text.heads:
            raise ValueError("vision.head_width and text.heads must divide the widths of their towers")
        return self
