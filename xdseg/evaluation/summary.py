"""All that a record says under `scores`."""

from typing import Any

import numpy as np

from xdseg.evaluation.dice import dice_scores
from xdseg.evaluation.scores import scored_rows, scores
from xdseg.settings.evaluation import Scoring


def scores_of(
    per_image: np.ndarray, *, classes: tuple[str, ...], kept: tuple[int, ...], scoring: Scoring
) -> dict[str, Any]:
    """Scores of a split from the counts of its images, (N, K, K) or (N, K, K + 1), ready for JSON.

    `void`, the pixels of each true class that are predicted as no class, is there only if there are any; the Dice
    only if `scoring.regions` names regions.
    """
    total = per_image.sum(axis=0)
    found = scores(total, classes=classes, kept=kept, outside=scoring.outside)
    said = {
        "miou": found.miou,
        "pixel_accuracy": found.pixel_accuracy,
        "iou": found.iou,
        "kept": [classes[i] for i in kept],
        "images": len(per_image),
        "confusion": total[:, : len(classes)].tolist(),
    }
    if total.shape[1] > len(classes):
        said["void"] = total[:, len(classes)].tolist()
    if scoring.regions:
        rows = scored_rows(classes, kept, scoring.outside)
        said |= dice_scores(per_image, classes=classes, regions=scoring.regions, rows=rows)
    return said
