"""Levels of a segmenter's output: its prediction, and those of further heads on earlier maps.

Tsai et al., CVPR 2018, call terms on both "multi-level adaptation". A segmenter without further heads has one level.
"""

from xdseg.segmenters.contract import Description, Prediction
from xdseg.settings.levels import LevelWeights

MAIN = "main"


def level_weights(settings: LevelWeights, description: Description) -> dict[str, float]:
    """Weights by level: `main`, then the further heads in their order. A level of weight 0 is left out."""
    weights = {MAIN: settings.weight} | dict.fromkeys(description.auxiliary, settings.auxiliary_weight)
    return {level: weight for level, weight in weights.items() if weight}


def at_level(prediction: Prediction, level: str) -> Prediction:
    """The prediction itself, or that of a further head. Raises KeyError if there is none of that name."""
    return prediction if level == MAIN else prediction.auxiliary[level]


def term_name(term: str, level: str) -> str:
    """Name of a loss term: plain for the main level, else with the head's name behind it."""
    return term if level == MAIN else f"{term}_{level}"
