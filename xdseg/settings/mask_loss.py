"""Settings of the set loss of mask classifiers (Mask2Former, Cheng et al., CVPR 2022; EoMT takes it over)."""

from pydantic import Field

from xdseg.settings.base import Settings


class SetLoss(Settings):
    """Queries are matched to the classes of an image one to one; masks are compared at sampled points."""

    points: int = Field(12544, gt=0, description="per mask, of matching and of loss alike; 12,544 = 112 x 112")
    oversample: float = Field(3.0, ge=1, description="candidates per point, of which the least certain are kept")
    importance: float = Field(0.75, ge=0, le=1, description="share of the points that are the least certain candidates")
    class_weight: float = Field(2.0, ge=0, description="of the classes' cross entropy, and of its cost in the matching")
    mask_weight: float = Field(5.0, ge=0, description="of the masks' binary cross entropy, likewise")
    dice_weight: float = Field(5.0, ge=0, description="of the masks' dice loss, likewise")
    no_object: float = Field(0.1, ge=0, description="weight of a query without a mask in the classes' cross entropy")
