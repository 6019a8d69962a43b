"""Settings of inference and scoring: what a cell's number means."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from xdseg.datasets.spaces import SUBSETS
from xdseg.errors import suggest
from xdseg.settings.base import Settings
from xdseg.settings.sizes import ImageSize, TruthSize

LATER = {"align_corners", "output", "windows_per_pass"} | {"outside", "truth", "regions"}  # older records lack them


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
    mode: Literal["whole", "slide", "cover"] = Field(
        "whole",
        description="whole: the image in one piece; slide: square windows every `stride` pixels; cover: the fewest "
        "square windows that cover the image, evenly spread along each side (EoMT's, with size equal to window)",
    )
    window: int | None = Field(None, gt=0, description="side of the windows in pixels of the resized image")
    stride: int | None = Field(None, gt=0, description="step of the sliding window in pixels")
    align_corners: bool = Field(
        False, description="of the bilinear resizing of scores to the truth: are corner pixels' centres aligned?"
    )
    output: Literal["truth", "input"] = Field(
        "truth", description="size at which classes are chosen and stored: the truth's, or the network's input's"
    )

    windows_per_pass: int = Field(
        1, gt=0, description="windows of an image in one forward pass: faster, with the same scores but for rounding"
    )

    @model_validator(mode="after")
    def _window_fits_mode(self) -> "Inference":
        if self.mode == "slide" and not (self.window and self.stride and self.stride <= self.window):
            raise ValueError("mode slide needs window and stride, with stride at most window")
        if self.mode == "cover" and not (self.window and self.stride is None):
            raise ValueError("mode cover needs window, and finds the stride itself")
        if self.mode == "whole" and (self.window or self.stride):
            raise ValueError("window and stride belong to mode slide, window alone to cover")
        if self.mode == "whole" and self.windows_per_pass > 1:
            raise ValueError("windows_per_pass belongs to modes slide and cover")
        return self


class Scoring(_Evaluation):
    """How predictions are turned into a score: part of the `score` fingerprint only."""

    absent: Literal["drop", "field"] = Field(
        "drop",
        description="drop: a class that source or target lacks leaves truth and mean; "
        "field: all classes, a class in neither truth nor prediction leaves the mean",
    )
    subset: str | tuple[str, ...] | None = Field(
        None, description="classes that are scored, as a list or by a name that papers use: 19, 16a, 13; default all"
    )
    outside: Literal["ignore", "count"] = Field(
        "ignore",
        description="pixels of classes that are not scored: ignore them, or count them as errors of the scored class "
        "that they are called; a named subset brings its own",
    )
    truth: TruthSize = Field(
        "native",
        description="size at which pixels are counted: native, half, [height, width], or "
        "{height: n, centre_crop: m}: resized to that height, then the central square of that side",
    )
    regions: dict[str, tuple[str, ...]] = Field(
        {}, description="regions by name, each the classes it is made of, that get a Dice; they may overlap"
    )

    @model_validator(mode="before")
    @classmethod
    def _named_subset_brings_its_rule(cls, values: Any) -> Any:
        name = str(values.get("subset")) if isinstance(values, dict) else None  # YAML reads 19 as a number
        if name not in SUBSETS:
            return values
        rule = SUBSETS[name].outside
        if values.get("outside", rule) != rule:
            raise ValueError(f"subset {name} means outside: {rule}; list the classes instead to score them otherwise")
        return values | {"subset": name, "outside": rule}

    @field_validator("subset", mode="before")
    @classmethod
    def _known_subset(cls, subset: Any) -> Any:
        name = str(subset)
        if isinstance(subset, str | int) and name not in SUBSETS:
            hint = "16b is a suite of the space cityscapes-16" if name == "16b" else suggest(name, SUBSETS)
            raise ValueError(f"no subset is named {name!r}; {hint}; or give a list of classes")
        return subset

    @field_validator("regions")
    @classmethod
    def _regions_have_classes(cls, regions: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, classes in regions.items():
            if not classes or len(set(classes)) < len(classes):
                raise ValueError(f"region {name!r}: name at least one class, and each once")
        return regions
