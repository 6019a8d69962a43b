"""Settings of Mask2Former's two decoders (Cheng et al., CVPR 2022), which several segmenters put on their maps."""

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.mask_loss import SetLoss


class Mask2Former(Settings):
    """Pixel decoder and transformer decoder; defaults are those of Mask2Former."""

    pixel_layers: int = Field(6, gt=0)
    pixel_points: int = Field(4, gt=0, description="that a head looks at in each map")
    pixel_feedforward: int = Field(1024, gt=0, description="hidden width of its feed-forward networks")

    dim: int = Field(256, gt=0, multiple_of=32, description="width of both decoders; group norms have 32 groups")
    heads: int = Field(8, gt=0, description="of the attention in both decoders")
    queries: int = Field(100, gt=0, description="published: 100 for semantic, 200 for panoptic segmentation")
    decoder_layers: int = Field(9, ge=3, description="of the transformer decoder, so that each map is read")
    decoder_feedforward: int = Field(2048, gt=0, description="hidden width of its feed-forward networks")
    loss: SetLoss = SetLoss()

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "Mask2Former":
        if self.dim % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide dim {self.dim}; take a divisor of it")
        return self
