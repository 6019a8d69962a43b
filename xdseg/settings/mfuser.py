"""Settings of MFuser (Zhang & Tan, CVPR 2025); defaults are those of its variant with EVA02-CLIP."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.encoders import VisionLanguageModel, VisionModel
from xdseg.settings.neck import Neck
from xdseg.settings.query_decoder import QueryDecoder
from xdseg.settings.text import PixelText, Text

Block = Annotated[int, Field(ge=0)]


class Fuser(Settings):
    """What stands between the encoders after each pair of blocks."""

    kind: Literal[
        "mvfuser", "separate-mvfuser", "concat-attention", "separate-attention", "bi-deformable-attention", "none"
    ] = Field("mvfuser", description="`separate-…`: one for each encoder, which sees that encoder alone")
    order: Literal["vfm-first", "vlm-first"] = Field(
        "vfm-first", description="whose tokens come first in the sequence; those that come second see the others"
    )
    scan: Literal["forward", "both", "none"] = Field(
        "forward", description="of MVFuser: `both` adds the scan from the end, `none` leaves its convolutions alone"
    )
    double_dt_bias: bool = Field(True, description="MVFuser's code adds the bias of the step sizes twice")
    double_silu: bool = Field(True, description="MVFuser's code sends its gate through SiLU twice")
    states: int = Field(16, gt=0, description="of MVFuser, per channel")
    dropout: float = Field(0.1, ge=0, lt=1, description="of what is added to the tokens")
    backend: Literal["auto", "streaming", "chunked", "mamba-ssm"] = Field(
        "auto", description="code of the scan; mamba-ssm's is taken where it imports and tensors are on a CUDA device"
    )
    heads: int = Field(16, gt=0, description="of attention, in the kinds that have it")
    points: int = Field(4, gt=0, description="that a head of deformable attention looks at")
    ratio: float = Field(0.5, gt=0, description="width of the values of deformable attention, of the tokens'")
    project: Literal["auto", "always", "never"] = Field(
        "auto",
        description="linear layers to the other encoder's width and back at each fuser, and before both are summed; "
        "auto: where widths differ; published: always with CLIP, never with EVA-02 and SigLIP",
    )


class MFuser(Settings):
    """MFuser: two frozen encoders that a co-adapter connects, text queries, and tqdm's decoder."""

    vfm: VisionModel = VisionModel()
    vlm: VisionLanguageModel = VisionLanguageModel()
    patch: int | None = Field(
        None,
        gt=0,
        description="side of both encoders' patches, in pixels; null: the vision-language model's; published: 14 with "
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
    fuser: Fuser = Fuser()
    neck: Neck = Neck()
    text: Text = Text()
    decoder: QueryDecoder = QueryDecoder()
    pixel_text: PixelText = PixelText()

    @model_validator(mode="after")
    def _queries_are_text(self) -> "MFuser":
        if self.decoder.kind != "text":
            raise ValueError("decoder.kind: MFuser's queries are class names; set text")
        return self
