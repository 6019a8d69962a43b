"""What a training process is handed: everything it may see, and nothing else."""

from dataclasses import dataclass
from pathlib import Path

from xdseg.data.store import PixelStore
from xdseg.errors import BadInput
from xdseg.settings.base import Settings
from xdseg.settings.sizes import ImageSize
from xdseg.settings.training import Augmentation, Training


@dataclass(frozen=True)
class Split:
    """Images of one split of one domain; `labels` is None where the setting does not grant them."""

    domain: str
    images: PixelStore
    labels: PixelStore | None
    resize: ImageSize | None = None  # of its images, before scale and crop; None: as stored


@dataclass(frozen=True)
class TrainingJob:
    """One run: resolved settings, granted data and seed."""

    fingerprint: str
    segmenter: str  # name in xdseg.registry.SEGMENTERS
    segmenter_settings: Settings
    adaptations: tuple[tuple[str, Settings], ...]  # names in xdseg.registry.ADAPTATIONS, in order
    training: Training
    augmentation: Augmentation
    classes: tuple[str, ...]
    ignore_index: int
    seed: int
    source: tuple[Split, ...]  # one per source domain
    target: Split | None
    parent_weights: Path | None = None  # the run that this one starts from

    def __post_init__(self) -> None:
        granted = self.target is not None and self.target.labels is not None
        if self.training.supervision == "target" and not granted:
            raise BadInput("training.supervision: target needs the target's labels; choose setting finetune")
