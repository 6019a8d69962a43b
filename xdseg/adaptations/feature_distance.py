"""Feature distance: on things, source features stay near those that pre-training gave.

Hoyer et al., CVPR 2022 (DAFormer), section 3.3. Mean L2 distance, over the cells of a map that one thing class fills,
to the map of the segmenter as it was before training, in evaluation mode: with ImageNet's weights, or those of the run
that this one starts from. As in the released code a cell is valid where its most frequent label, ignored pixels being
one, covers `min_share` of it and is a thing. Departs from it where no cell is valid, which there gives NaN: the term is
0 with zero gradient; and where the map's sides do not divide the crop's: cells are then those of adaptive pooling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.data.tensors import IGNORE
from xdseg.errors import BadInput, suggest
from xdseg.segmenters.contract import Description, Size
from xdseg.settings.feature_distance import LAST
from xdseg.settings.feature_distance import FeatureDistance as Settings
from xdseg.training.ranks import global_sum
from xdseg.training.step import Step


class FeatureDistance(Adaptation):
    """One term on the source, from the pass that its labels train; no parameters of its own."""

    divisible = True

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings = settings
        self.classes = len(description.classes)
        self.things = thing_ids(settings, description)
        self.map = map_name(settings, description)
        self.needs = Needs(reference=settings.weight > 0)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """The weighted mean distance; 0 where the source shows no thing that fills a cell."""
        if not self.settings.weight:
            return {}
        ours, theirs = step.student("source").features.maps[self.map], step.reference("source").maps[self.map]
        labels = cell_labels(
            step.source.labels, tuple(ours.shape[-2:]), classes=self.classes, min_share=self.settings.min_share
        )
        things = torch.isin(labels, torch.tensor(self.things, device=labels.device))
        return {"distance": self.settings.weight * masked_distance(ours, theirs, things)}


def thing_ids(settings: Settings, description: Description) -> tuple[int, ...]:
    """Ids of the thing classes that the suite has. Raises BadInput if it has none."""
    found = tuple(number for number, name in enumerate(description.classes) if name in settings.classes)
    if not found:
        known = ", ".join(description.classes)
        raise BadInput(f"adaptation feature-distance: classes: the suite has none of them; name some of {known}")
    return found


def map_name(settings: Settings, description: Description) -> str:
    """The map to compare. Raises BadInput if the segmenter has none of that name."""
    names = [spec.name for spec in description.maps]
    if settings.map == LAST:
        return names[-1]
    if settings.map not in names:
        hint = suggest(settings.map, [*names, LAST])
        raise BadInput(f"adaptation feature-distance: map: the segmenter has no {settings.map!r}; {hint}")
    return settings.map


def cell_labels(labels: Tensor, grid: Size, *, classes: int, min_share: float) -> Tensor:
    """Labels (B, H, W) to (B, *grid) int64: what covers most of a cell, 255 where that is under `min_share` of it."""
    values = [*range(classes), IGNORE]
    shares = [F.adaptive_avg_pool2d((labels == value).float(), grid) for value in values]  # (B, h, w) each
    share, most = torch.stack(shares).max(0)
    found = torch.tensor(values, device=labels.device)[most]
    return found.masked_fill(share < min_share, IGNORE)


def masked_distance(ours: Tensor, theirs: Tensor, mask: Tensor) -> Tensor:
    """Mean over the cells of `mask` (B, h, w) of the L2 norm of the difference of two maps (B, C, h, w); 0 without."""
    distance = torch.linalg.vector_norm(ours.float() - theirs.float(), dim=1)  # (B, h, w)
    return distance.where(mask, 0).sum() / global_sum(mask.sum()).clamp(min=1)
