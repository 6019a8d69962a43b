"""From a registered name and settings to a network with its initial weights."""

from collections.abc import Sequence
from pathlib import Path

from xdseg.registry import SEGMENTERS
from xdseg.saved import own_weights
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.weights import fit, read_weights
from xdseg.settings.base import Settings
from xdseg.training.streams import global_draws


def build_segmenter(
    name: str, settings: Settings, classes: Sequence[str], *, seed: int, parent: Path | None = None
) -> Segmenter:
    """A network on the CPU: drawn from the stream `init`, then its published weights, or the parent run's.

    Raises BadInput if weights are missing or do not fit.
    """
    with global_draws(seed, "init", 0):
        segmenter = SEGMENTERS[name].load()(settings, classes)
    if parent is None:
        segmenter.load_pretrained()
    else:
        fit(segmenter, own_weights(read_weights(parent)), origin=str(parent))
    return segmenter
