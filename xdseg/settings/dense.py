"""What the settings of all segmenters with one logit per class and cell share."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings

MeanOver = Literal["labelled", "all"]


class Dense(Settings):
    """How such a segmenter is trained."""

    mean_over: MeanOver = Field(
        "labelled",
        description="pixels whose number divides the loss; `all`, as mmsegmentation 0.16 and what builds on it "
        "(DAFormer, HRDA, MIC; DACS of mixed images alone), counts ignored ones too, those of padding among them",
    )
