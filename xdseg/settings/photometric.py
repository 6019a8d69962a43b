"""Settings of changes to colours and sharpness of training images."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from xdseg.settings.base import Settings

Share = Annotated[float, Field(ge=0, le=1)]


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] <= span[1]:
        raise ValueError("expected two positive numbers, the lower first")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ascending)]  # of a uniform draw


class Jitter(Settings):
    """Photometric jitter, as in torchvision: factors are drawn from [1 - x, 1 + x], the hue shift from [-x, x]."""

    probability: Share = 0.8
    brightness: float = Field(0.4, ge=0)
    contrast: float = Field(0.4, ge=0)
    saturation: float = Field(0.4, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)


class Distortion(Settings):
    """Photometric distortion as in SSD and detectron2: brightness, contrast, saturation and hue, each by its own coin.

    Contrast comes right after brightness or after all others, with equal chance. Defaults are EoMT's; as there,
    brightness is a factor and not a summand.
    """

    probability: Share = Field(0.5, description="of each of the four changes")
    brightness: float = Field(32 / 255, ge=0, le=1, description="factors are drawn from [1 - x, 1 + x]")
    contrast: float = Field(0.5, ge=0, le=1, description="likewise")
    saturation: float = Field(0.5, ge=0, le=1, description="likewise")
    hue: float = Field(
        18 / 360, ge=0, le=0.5, description="shifts are drawn from [-x, x], in turns of the colour circle"
    )
    of: Literal["image", "crop"] = Field(
        "image", description="the stored image, before any geometry, or the resized crop: whose mean contrast keeps"
    )


class Blur(Settings):
    """Gaussian blur."""

    probability: Share = 0.5
    sigma: Span = Field((0.15, 1.15), description="standard deviation in pixels")
