"""Settings of `feature-distance`."""

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.photometric import Share

CITYSCAPES_THINGS = (
    *("traffic light", "traffic sign", "person", "rider", "car"),
    *("truck", "bus", "train", "motorcycle", "bicycle"),
)
LAST = "last"  # in place of a map's name: the coarsest


class FeatureDistance(Settings):
    """Thing-class feature distance; every default is DAFormer's."""

    weight: float = Field(0.005, ge=0, description="of the mean distance; 0 leaves it and its passes out altogether")
    classes: tuple[str, ...] = Field(
        CITYSCAPES_THINGS, min_length=1, description="thing classes; names that the suite lacks are passed over"
    )
    min_share: Share = Field(0.75, description="of a map's cell that one of these classes must cover")
    map: str = Field(LAST, description="which of the segmenter's maps is compared: its name, or last")
