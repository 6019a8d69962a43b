"""Rare-class sampling: a class is drawn, rare ones more often, then an image that holds enough of it.

Hoyer et al., CVPR 2022 (DAFormer), section 3.3. Frequencies and counts come from the source's labels as stored. Several
source domains are one list of images, without turns. Target images are drawn in epochs as ever, where the released code
draws them with replacement. A class that no image holds often enough, where that code stops, has probability 0, and the
others share what it would have had; f_c is taken over all classes nevertheless.
"""

from collections.abc import Sequence

import numpy as np
import torch

from xdseg.data.class_counts import class_counts
from xdseg.data.crops import Wanted
from xdseg.data.order import Pick
from xdseg.data.store import PixelStore
from xdseg.errors import BadInput
from xdseg.settings.sampling import RareClass
from xdseg.training.job import Split
from xdseg.training.streams import generator


def class_probabilities(totals: np.ndarray, *, temperature: float, drawable: np.ndarray) -> np.ndarray:
    """P(c) of each class from its pixels (K,): softmax of (1 - f_c) / T over the `drawable` (K,) ones, else 0."""
    share = totals / totals.sum()
    logits = np.where(drawable, (1 - share) / temperature, -np.inf)
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


class RareClasses:
    """Draws the source's images by class; the draws of a step and place come from the seed and nothing else."""

    role = "source"

    def __init__(self, seed: int, splits: Sequence[Split], settings: RareClass, *, classes: int) -> None:
        self.seed, self.settings = seed, settings
        counts = np.concatenate([class_counts(_labels(split), classes) for split in splits])  # (images, K)
        self.images = [(split, number) for split in splits for number in range(len(split.images))]
        least = [settings.image_threshold(split.labels.shape(number)) for split, number in self.images]
        enough = counts > np.array(least)[:, None]  # (images, K)
        if not enough.any():
            raise BadInput(
                f"training.rare_class.min_pixels: no image of the source holds more than {max(least):g} pixels of any "
                "class; lower it, or scale it to the images by rare_class.of"
            )
        self.candidates = [np.flatnonzero(column) for column in enough.T]  # per class: its images
        self.probabilities = class_probabilities(
            counts.sum(0), temperature=settings.temperature, drawable=enough.any(0)
        )

    def picks(self, step: int, batch: int) -> list[Pick]:
        """The images of a step, drawn with replacement, each with the class that its crop should show."""
        return [self._pick(step, place) for place in range(batch)]

    def _pick(self, step: int, place: int) -> Pick:
        draws = generator(self.seed, f"rare-class/{place}", step)
        drawn = int(torch.multinomial(torch.from_numpy(self.probabilities), 1, generator=draws))
        among = self.candidates[drawn]
        split, number = self.images[among[int(torch.randint(len(among), (), generator=draws))]]
        return Pick(split, number, Wanted(drawn, self.settings))


def _labels(split: Split) -> PixelStore:
    if split.labels is None:
        raise BadInput(f"training.rare_class: {split.domain} has no labels to count classes in; leave it out")
    return split.labels
