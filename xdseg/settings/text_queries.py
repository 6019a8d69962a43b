"""Settings of segmenters whose queries are class names: what tqdm (Pak et al., ECCV 2024) and MFuser share."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.encoders import VisionLanguageModel
from xdseg.settings.neck import Neck
from xdseg.settings.query_decoder import QueryDecoder
from xdseg.settings.text import PixelText, Text

Block = Annotated[int, Field(ge=0)]


class TextQueries(Settings):
    """A vision-language model, the neck behind image encoders, class names, and tqdm's decoder."""

    vlm: VisionLanguageModel = VisionLanguageModel()
    patch: int | None = Field(
        None,
        gt=0,
        description="side of the encoders' patches, in pixels; null: the vision-language model's; published: 14 with "
        "EVA-02, 16 with CLIP and SigLIP, resampled",
    )
    remainder: Literal["cut", "pad"] = Field(
        "cut",
        description="of sides that patches do not divide: the code ignores it and stretches what it predicts, "
        "so that 8 of 512 pixels are not seen; `pad` takes multiples alone, and pads with 0 at test time",
    )
    taps: tuple[Block, Block, Block, Block] | None = Field(
        None,
        description="blocks, from 0, that the neck reads; null: at 1/3, 1/2, 2/3 and the end; 7, 11, 15, 23",
    )
    fused: bool = Field(
        True, description="the encoders' attention as one kernel; false suits small images on a CPU, see EoMT's"
    )
    neck: Neck = Neck()
    text: Text = Text()
    decoder: QueryDecoder = QueryDecoder()
    pixel_text: PixelText = PixelText()

    @model_validator(mode="after")
    def _queries_are_text(self) -> Self:
        if self.decoder.kind != "text":
            raise ValueError(f"decoder.kind: {type(self).__name__}'s queries are class names; set text")
        return self
