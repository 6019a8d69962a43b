"""Settings of `mfm`: hide cells of an encoder's maps, rebuild them, and ask the host's decoder for their classes.

Defaults are those of Masked Feature Modeling (arXiv 2509.13801) where they are published; the descriptions say which
of the others are ours.
"""

from typing import Literal

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.dacs import Views
from xdseg.settings.training import Share, TeacherNorm

PUBLISHED_WIDTH = 512
HEAD_WIDTHS = 4  # a head's width is a multiple of it, as a position has sine and cosine of two coordinates


class Mfm(Settings):
    """The term, what it is computed from, and the network that rebuilds."""

    weight: float = Field(1.0, ge=0, description="of the term; 0 leaves out the term and its passes altogether")
    ratio: Share = Field(0.4, description="probability that a token is hidden, each by its own draw")
    mask: Literal["uniform", "need"] = Field(
        "uniform",
        description="how that probability is spread over an image's tokens: evenly, or in proportion to the need that "
        "`tmt` finds there, with the same mean (ours, of neither paper)",
    )
    token_px: int = Field(
        32, gt=0, description="side of a token in pixels of the image; the last map's stride where that is coarser"
    )
    width: int | None = Field(
        None,
        gt=0,
        description="channels of a token; null: twice the last map's, 512 at most, in whole heads (published: 512, "
        "which null gives from 256 channels on)",
    )
    head_dim: int = Field(32, gt=0, multiple_of=HEAD_WIDTHS, description="channels per attention head")
    blocks: int = Field(2, ge=1, description="transformer blocks")
    out_norm: bool = Field(True, description="whether rebuilt maps end in a layer norm, as released")
    rebuild: bool = Field(True, description="false: hidden cells are 0, and nothing is rebuilt")
    target: Literal["class", "pixel", "teacher-feature", "student-feature"] = Field(
        "class",
        description="what rebuilt maps are held against: the labels, through the host's decoder and loss; or, over "
        "hidden cells and without the decoder, the image's normalised pixels, the teacher's or the student's own maps",
    )
    domain: Literal["target", "source", "both"] = Field(
        "target", description="whose images: the target's with pseudo-labels, the source's with its labels, or a sum"
    )
    view: Literal["clean", "augmented"] = Field(
        "clean", description="target images as loaded, or changed as `views` says (ours: clean; not published)"
    )
    views: Views = Field(Views(jitter_strength=0.2), description="changes of augmented target images; MIC's strength")
    loss_on: Literal["all", "masked"] = Field(
        "all", description="whether all pixels count for the decoder's loss, or those of hidden tokens alone"
    )
    freeze: Literal["none", "encoder", "decoder"] = Field("none", description="the part that this term does not train")
    hrda: Literal["both", "context"] = Field(
        "both", description="whether views of part of an image (HRDA's detail) are rebuilt too, or the whole's alone"
    )
    start: Share = Field(0.0, description="share of all steps before the term begins")
    lr: float | None = Field(2e-4, gt=0, description="peak learning rate of the rebuilder; null: that of heads")
    weight_decay: float = Field(0.01, ge=0, description="of the rebuilder, in AdamW whatever trains the host")
    alpha: float = Field(
        0.99, ge=0, lt=1, description="teacher-feature only: EMA rate of the teacher, equal to the host's if it has one"
    )
    teacher_norm: TeacherNorm = Field("batch", description="teacher-feature only: what the teacher's batch norm reads")

    @model_validator(mode="after")
    def _whole_heads(self) -> "Mfm":
        if self.width is not None and self.width % self.head_dim:
            raise ValueError(f"width {self.width} is no multiple of head_dim {self.head_dim}")
        return self

    @model_validator(mode="after")
    def _target_is_there(self) -> "Mfm":
        if self.target == "class":
            return self
        if not self.rebuild:
            raise ValueError(f"without rebuild there is nothing to hold against target {self.target}; choose class")
        if self.freeze == "decoder" or self.loss_on == "masked":
            raise ValueError(
                f"target {self.target} has no decoder and counts hidden cells alone; leave freeze decoder and loss_on "
                "masked to target class"
            )
        return self

    def token_width(self, channels: int) -> int:
        """Channels of a token where the last map has `channels`."""
        fitting = min(PUBLISHED_WIDTH, 2 * channels) // self.head_dim * self.head_dim
        return self.width or max(fitting, self.head_dim)
