"""Settings of tqdm (Pak et al., ECCV 2024); defaults are those of its variant with EVA02-CLIP."""

from typing import Annotated

from pydantic import Field, field_validator

from xdseg.settings.base import Settings
from xdseg.settings.text import Enhancer, Text
from xdseg.settings.text_queries import TextQueries
from xdseg.settings.tunings import Frozen, Full

PLACE = "{}"  # of the class name


class TqdmText(Text):
    """How class names become queries: a plain context decoder of three layers."""

    enhancer: Enhancer = Field("cross-attention", description="how names see the image; others are MFuser's")
    layers: int = Field(3, gt=0)


class Language(Settings):
    """The regulariser that keeps texts apart: cross entropy of their cosines to embeddings of fixed sentences."""

    weight: float = Field(1.0, ge=0, description="of the cross entropy, without temperature; 0 leaves it out")
    template: str = Field("a clean origami of a {}", description="the sentence, with {} where the class name stands")
    length: int = Field(13, ge=3, description="tokens of a sentence, with start and end; published: 13")

    @field_validator("template")
    @classmethod
    def _names_a_class(cls, template: str) -> str:
        if PLACE not in template:
            raise ValueError(f"{template!r} has no place for the class name; write {PLACE} there")
        return template


class Vision(Settings):
    """The regulariser that keeps the encoder near its pre-training: what it makes of the whole image stays."""

    weight: float = Field(
        1.0,
        ge=0,
        description="of the mean squared difference to the initial encoder's embedding; 0 leaves it and its pass out",
    )


class Tqdm(TextQueries):
    """tqdm: a vision-language model tuned in full, text queries, and three regularisers; `pixel_text` is the third."""

    text: TqdmText = TqdmText()
    tuning: Annotated[Frozen | Full, Field(discriminator="kind")] = Field(
        Full(kind="full"), description="{kind: ...}, what is trained of the image's encoder"
    )
    language: Language = Language()
    vision: Vision = Vision()
