"""Settings of MFuser (Zhang & Tan, CVPR 2025); defaults are those of its variant with EVA02-CLIP."""

from typing import Literal

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.encoders import VisionModel
from xdseg.settings.text_queries import TextQueries


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
    double_dt_bias: bool = Field(
        True,
        description="MVFuser's code adds the bias of the step sizes twice; of the co-adapters only, the enhancer's is "
        "`text.double_dt_bias`",
    )
    double_silu: bool = Field(
        True,
        description="MVFuser's code sends its gate through SiLU twice; of the co-adapters only, the enhancer's is "
        "`text.double_silu`",
    )
    states: int = Field(16, gt=0, description="of MVFuser, per channel")
    dropout: float = Field(0.1, ge=0, lt=1, description="of what is added to the tokens")
    backend: Literal["auto", "streaming", "chunked", "mamba-ssm"] = Field(
        "auto",
        description="code of all scans, the enhancer's too; mamba-ssm's is taken where it imports and tensors are on a "
        "CUDA device",
    )
    heads: int = Field(16, gt=0, description="of attention, in the kinds that have it")
    points: int = Field(4, gt=0, description="that a head of deformable attention looks at")
    ratio: float = Field(0.5, gt=0, description="width of the values of deformable attention, of the tokens'")
    project: Literal["auto", "always", "never"] = Field(
        "auto",
        description="linear layers to the other encoder's width and back at each fuser, and before both are summed; "
        "auto: where widths differ; published: always with CLIP, never with EVA-02 and SigLIP",
    )


class MFuser(TextQueries):
    """MFuser: two frozen encoders that a co-adapter connects, text queries, and tqdm's decoder."""

    vfm: VisionModel = Field(VisionModel(), description="its patches are made to be the vision-language model's")
    streams: Literal["both", "vfm", "vlm"] = Field(
        "both",
        description="encoders that see the image; one alone has a fuser of its own after each block, and what is said "
        "of the other is not read, but for the texts, which are always the vision-language model's",
    )
    fuser: Fuser = Fuser()

    @model_validator(mode="after")
    def _two_look_at_each_other(self) -> "MFuser":
        if self.streams != "both" and self.fuser.kind == "bi-deformable-attention":
            raise ValueError("fuser.kind: bi-deformable-attention is of two encoders; take another, or streams: both")
        return self
