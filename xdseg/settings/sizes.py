"""Sizes that images and truth can be resized to, as settings say them; `xdseg.evaluation` does the arithmetic."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from xdseg.settings.base import Settings

IMAGE_SIZES = (
    "expected native, [height, width] or the length of the short side, in pixels; "
    "or {fit: [height, width]}, or {short: pixels, max_long: pixels}"
)
TRUTH_SIZES = "expected native, half, [height, width] or {height: pixels, centre_crop: pixels}"


class Fit(Settings):
    """The largest size within a box that keeps the ratio; the box may lie or stand, whichever way the image does."""

    fit: tuple[int, int]  # height and width of the box


class ShortSide(Settings):
    """The short side's length, unless the long side would exceed `max_long`; the ratio is kept."""

    short: int
    max_long: int


class CentreCrop(Settings):
    """Resized to a height, the ratio kept; then the central square, of which only what the image covers is scored."""

    height: int
    centre_crop: int  # side of the square


def _image_size(size: Any) -> Any:
    """One line for every wrong size, where a union would have one for each of its members."""
    if isinstance(size, Fit | ShortSide) or size == "native" or _lengths([size]) or _pair(size):
        return size
    if isinstance(size, dict) and (
        (size.keys() == {"fit"} and _pair(size["fit"]))
        or (size.keys() == {"short", "max_long"} and _lengths([*size.values()]) and size["short"] <= size["max_long"])
    ):
        return size
    raise ValueError(IMAGE_SIZES)


def _truth_size(size: Any) -> Any:
    if isinstance(size, CentreCrop) or size in ("native", "half") or _pair(size):
        return size
    if isinstance(size, dict) and size.keys() == {"height", "centre_crop"} and _lengths([*size.values()]):
        return size
    raise ValueError(TRUTH_SIZES)


def _pair(size: Any) -> bool:
    return isinstance(size, list | tuple) and len(size) == len(("height", "width")) and _lengths(size)


def _lengths(sides: list[Any] | tuple[Any, ...]) -> bool:
    return all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)


ImageSize = Annotated[Literal["native"] | tuple[int, int] | int | Fit | ShortSide, BeforeValidator(_image_size)]
TruthSize = Annotated[Literal["native", "half"] | tuple[int, int] | CentreCrop, BeforeValidator(_truth_size)]
