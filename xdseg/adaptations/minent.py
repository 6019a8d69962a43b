"""MinEnt: the target's predictions must be sharp.

Vu et al., CVPR 2019 (ADVENT), direct entropy minimisation. Departs from the released code where it has no case: padding
around images smaller than the crop is not counted.
"""

from torch import Tensor

from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.adaptations.entropy import self_information
from xdseg.adaptations.levels import at_level, level_weights, term_name
from xdseg.adaptations.pseudo_labels import image_area
from xdseg.segmenters.contract import Description
from xdseg.settings.minent import MinEnt as Settings
from xdseg.training.ranks import global_sum
from xdseg.training.step import Step


class MinEnt(Adaptation):
    """A term `entropy` of each level; no parameters of its own."""

    divisible = True
    needs = Needs(target="images")

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.weights = level_weights(settings, description)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Per level the weighted mean entropy of the target's pixels."""
        inside = image_area(step.view("target"))
        size, terms = tuple(inside.shape[-2:]), {}
        for level, weight in self.weights.items():
            probabilities = at_level(step.student("target").prediction, level).probabilities(size)
            terms[term_name("entropy", level)] = weight * mean_entropy(probabilities, inside)
        return terms


def mean_entropy(probabilities: Tensor, inside: Tensor) -> Tensor:
    """Mean over the pixels where (B, H, W) `inside` is True of the entropy of (B, K, H, W), in [0, 1]; 0 for none."""
    entropy = self_information(probabilities).sum(1)  # (B, H, W)
    return (entropy * inside).sum() / global_sum(inside.sum()).clamp(min=1)
