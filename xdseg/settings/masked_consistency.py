"""Settings of `masked-consistency`."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.dacs import Views
from xdseg.settings.photometric import Share


class MaskedViews(Views):
    """Photometric changes of masked images; but for the strength as in DACS."""

    jitter_strength: float = Field(0.2, ge=0, le=0.5, description="of brightness, contrast, saturation and hue alike")


class MaskedConsistency(Settings):
    """Masked image consistency; every default is that of the published synthetic-to-real runs."""

    weight: float = Field(1.0, ge=0, description="of all terms; 0 leaves them and their pass out altogether")
    block: int = Field(64, gt=0, description="side of a block in pixels of the crop (32 with crops at half resolution)")
    ratio: Share = Field(0.7, description="probability that a block is hidden")
    view: Literal["augmented", "clean"] = Field(
        "augmented", description="what is masked: the target with changed colours, or as loaded (weather and night)"
    )
    images: Literal["target", "both"] = Field(
        "target",
        description="target: every image of the target's batch; both: the first half of the source's, with their "
        "labels, and the first half of the target's (weather and night, batch 2)",
    )
    views: MaskedViews = MaskedViews()
