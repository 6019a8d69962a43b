"""Settings of inference and scoring: what a cell's number means."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from xdseg.settings.base import Settings


class Inference(Settings):
    """How a trained network sees the images of the target: part of the `predict` fingerprint."""

    size: Literal["native"] | tuple[int, int] | int = Field(
        "native", description="native, exact [height, width], or the length of the short side"
    )
    mode: Literal["whole", "slide"] = "whole"
    window: int | None = Field(None, gt=0, description="side of the sliding window in pixels of the resized image")
    stride: int | None = Field(None, gt=0, description="step of the sliding window in pixels")

    @field_validator("size", mode="before")
    @classmethod
    def _one_of_three(cls, size: object) -> object:
        sides = size if isinstance(size, list | tuple) else [size]
        whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
        if size != "native" and not (whole and len(sides) <= len(("height", "width"))):
            raise ValueError("expected native, [height, width] or the length of the short side, in pixels")
        return size

    @model_validator(mode="after")
    def _window_fits_mode(self) -> "Inference":
        if self.mode == "slide" and not (self.window and self.stride and self.stride <= self.window):
            raise ValueError("mode slide needs window and stride, with stride at most window")
        if self.mode == "whole" and (self.window or self.stride):
            raise ValueError("window and stride belong to mode slide")
        return self


class Scoring(Settings):
    """How predictions are turned into a score: part of the `score` fingerprint only."""

    absent: Literal["drop", "field"] = Field(
        "drop",
        description="drop: a class that source or target lacks leaves truth and mean; "
        "field: all classes, a class in neither truth nor prediction leaves the mean",
    )
    subset: tuple[str, ...] | None = Field(None, description="names of the classes that are scored; default all")
