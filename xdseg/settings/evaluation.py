"""Settings of inference and scoring: what a cell's number means."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.sizes import ImageSize

LATER = {"align_corners", "output"}  # settings that records made before them do not name


class _Evaluation(Settings):
    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later settings are written only where they differ, so that a record made again has its old bytes."""
        fields = type(self).model_fields
        quiet = {name for name in LATER & fields.keys() if getattr(self, name) == fields[name].default}
        return {name: value for name, value in handler(self).items() if name not in quiet}


class Inference(_Evaluation):
    """How a trained network sees the images of the target: part of the `predict` fingerprint."""

    size: ImageSize = Field(
        "native",
        description="native, exact [height, width], the length of the short side, {fit: [height, width]}: the largest "
        "size in that box that keeps the ratio, or {short: n, max_long: m}: a short side with a bound on the long one",
    )
    mode: Literal["whole", "slide"] = "whole"
    window: int | None = Field(None, gt=0, description="side of the sliding window in pixels of the resized image")
    stride: int | None = Field(None, gt=0, description="step of the sliding window in pixels")
    align_corners: bool = Field(
        False, description="of the bilinear resizing of scores to the truth: are corner pixels' centres aligned?"
    )
    output: Literal["truth", "input"] = Field(
        "truth", description="size at which classes are chosen and stored: the truth's, or the network's input's"
    )

    @model_validator(mode="after")
    def _window_fits_mode(self) -> "Inference":
        if self.mode == "slide" and not (self.window and self.stride and self.stride <= self.window):
            raise ValueError("mode slide needs window and stride, with stride at most window")
        if self.mode == "whole" and (self.window or self.stride):
            raise ValueError("window and stride belong to mode slide")
        return self


class Scoring(_Evaluation):
    """How predictions are turned into a score: part of the `score` fingerprint only."""

    absent: Literal["drop", "field"] = Field(
        "drop",
        description="drop: a class that source or target lacks leaves truth and mean; "
        "field: all classes, a class in neither truth nor prediction leaves the mean",
    )
    subset: tuple[str, ...] | None = Field(None, description="names of the classes that are scored; default all")
