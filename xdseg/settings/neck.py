"""Settings of the neck that makes maps of four strides of a plain transformer's blocks."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings


class Neck(Settings):
    """Four times, twice, once and half the grid of the patches. Defaults are tqdm's and MFuser's."""

    scaling: Literal["learnt", "bilinear"] = Field(
        "learnt", description="`learnt`: transposed convolutions and max pooling; `bilinear`: resizing alone, as Rein's"
    )
    width: int | None = Field(None, gt=0, description="channels of the maps; null: those of what the neck is given")
    batch_norm: bool = Field(True, description="between the two transposed convolutions of the finest map")
