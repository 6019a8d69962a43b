"""Weights that terms on the output space share: of the last prediction, and of those of further heads."""

from pydantic import Field

from xdseg.settings.base import Settings


class LevelWeights(Settings):
    """Of a segmenter without further heads only `weight` is used: the papers' single-level variant."""

    weight: float = Field(1e-3, ge=0, description="of the last prediction's term; 0 leaves term and passes out")
    auxiliary_weight: float = Field(2e-4, ge=0, description="of the term of each further head's prediction; 0 likewise")
