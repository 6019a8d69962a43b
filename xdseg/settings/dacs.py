"""Settings of `dacs`; with other numbers they are the self-training of DAFormer, HRDA and MIC."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.training import Share, Span, TeacherNorm


class Views(Settings):
    """Photometric changes of mixed images."""

    jitter_strength: float = Field(0.25, ge=0, le=0.5, description="of brightness, contrast, saturation and hue alike")
    jitter_p: Share = Field(0.2, description="the number that the published settings call a probability")
    jitter_p_means: Literal["threshold", "probability"] = Field(
        "threshold",
        description="threshold, as published: jitter where a uniform draw exceeds it, so in 80% of the steps; "
        "probability: in 20% of them, as its name says",
    )
    blur_p: Share = Field(0.5, description="share of the steps whose mixed images are blurred")
    blur_sigma: Span = Field((0.15, 1.15), description="standard deviation in pixels")


class Dacs(Settings):
    """Self-training on mixed images; every default is the paper's."""

    weight: float = Field(1.0, ge=0, description="of the mixed images' loss; 0 leaves term and passes out altogether")
    alpha: float = Field(0.99, ge=0, lt=1, description="EMA rate of the teacher (DAFormer: 0.999)")
    threshold: Share = Field(0.968, description="probability from which a pixel counts as confident")
    classes_of: Literal["image", "batch"] = Field(
        "image", description="where an image's classes to paste are drawn from: its own, or all of the batch (DAFormer)"
    )
    teacher_norm: TeacherNorm = Field("batch", description="statistics of the teacher's batch norm; batch as published")
    ignore_top: int = Field(0, ge=0, description="upper rows of the crop whose pseudo-labels weigh 0 (DAFormer: 15)")
    ignore_bottom: int = Field(
        0,
        ge=0,
        description="lower rows likewise (DAFormer: 120, where the camera's car is; its crops are as high as images)",
    )
    views: Views = Views()
