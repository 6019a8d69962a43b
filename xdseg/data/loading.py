"""Batches by step: item n is all that step n sees, so neither worker count nor a resume changes what is drawn."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from xdseg.data.augmentation import Augmenter, Draw
from xdseg.data.order import Epochs, Order, Pick
from xdseg.data.rare_classes import RareClasses
from xdseg.errors import BadInput
from xdseg.training.job import Split, TrainingJob
from xdseg.training.ranks import places


@dataclass(frozen=True)
class Unlabelled:
    """Images (B, 3, H, W), uint8 when loaded and normalised float32 within a step; names are domain/image."""

    images: Tensor
    names: tuple[str, ...]

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A copy with every tensor changed."""
        return replace(self, images=change(self.images))

    def part(self, rows: slice) -> Self:
        """Some of the images."""
        return replace(self.mapped(lambda tensor: tensor[rows]), names=self.names[rows])


@dataclass(frozen=True)
class Labelled(Unlabelled):
    """Images with labels (B, H, W): class ids, 255 is ignored; uint8 when loaded and int64 within a step."""

    labels: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A copy with every tensor changed."""
        return replace(self, images=change(self.images), labels=change(self.labels))


@dataclass(frozen=True)
class Batch:
    """All that one round of one step sees."""

    index: int  # step, from 0
    source: Labelled
    target: Unlabelled | None = None  # Labelled where the setting grants the target's labels
    round: int = 0  # of the rounds whose gradients the step sums

    def mapped(self, change: Callable[[Unlabelled], Unlabelled]) -> "Batch":
        """A copy with source and target changed."""
        return replace(self, source=change(self.source), target=self.target and change(self.target))

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        return self.mapped(lambda images: images.mapped(lambda tensor: tensor.to(device, non_blocking=True)))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; the loader calls this where a GPU trains."""
        return self.mapped(lambda images: images.mapped(Tensor.pin_memory))

    def rounds(self, count: int) -> "list[Batch]":
        """The batch in `count` equal parts, for accumulation."""
        size = len(self.source.names) // count
        parts = [slice(start * size, (start + 1) * size) for start in range(count)]
        return [
            replace(self.mapped(lambda images, rows=rows: images.part(rows)), round=number)
            for number, rows in enumerate(parts)
        ]


class StepBatches(Dataset):
    """Map from step to the batch of that step; of several processes, to the images that are this one's."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.places = places(job.training.batch, rounds=job.training.accumulate)
        self.augmenter = Augmenter(job.augmentation, ignore_index=job.ignore_index)
        self.source = _source_order(job)
        self.target = Epochs(job.seed, "target", _checked([job.target])) if job.target else None

    def __len__(self) -> int:
        return self.job.training.steps

    def __getitem__(self, step: int) -> Batch:
        return Batch(step, self._drawn(self.source, step), self._drawn(self.target, step) if self.target else None)

    def _drawn(self, order: Order, step: int) -> Unlabelled:
        picks_of_all = order.picks(step, self.job.training.batch)
        picks = [picks_of_all[place] for place in self.places]
        names = tuple(f"{pick.split.domain}/{pick.split.images.names[pick.number]}" for pick in picks)
        draws = [Draw(self.job.seed, f"{order.role}/{place}", step) for place in self.places]
        if picks[0].split.labels is None:
            images = [self._unlabelled(pick, draw) for pick, draw in zip(picks, draws, strict=True)]
            return Unlabelled(_stacked(images, names), names)
        pairs = [self._labelled(pick, draw) for pick, draw in zip(picks, draws, strict=True)]
        images, labels = (_stacked(part, names) for part in zip(*pairs, strict=True))
        return Labelled(images, names, labels)

    def _unlabelled(self, pick: Pick, draw: Draw) -> Tensor:
        return self.augmenter.unlabelled(pick.split.images[pick.number], draw, resize=pick.split.resize)

    def _labelled(self, pick: Pick, draw: Draw) -> tuple[Tensor, Tensor]:
        split, number = pick.split, pick.number
        image, labels = split.images[number], split.labels[number]
        return self.augmenter.labelled(image, labels, draw, resize=split.resize, wanted=pick.wanted)


def _source_order(job: TrainingJob) -> Order:
    """Epochs, or draws by class where the recipe asks for them."""
    splits, rare = _checked(job.source), job.training.rare_class
    if rare is None:
        return Epochs(job.seed, "source", splits)
    return RareClasses(job.seed, splits, rare, classes=len(job.classes))


def _stacked(parts: Sequence[Tensor], names: tuple[str, ...]) -> Tensor:
    """One tensor of a batch. Raises BadInput where images without a crop differ in size."""
    for part, name in zip(parts, names, strict=True):
        if part.shape != parts[0].shape:
            sizes = " and ".join("x".join(map(str, one.shape[:-3:-1])) for one in (parts[0], part))
            raise BadInput(f"{names[0]} and {name}: {sizes} pixels in one batch; set augmentation.crop, or batch 1")
    return torch.stack(list(parts))


def _checked(splits: Sequence[Split]) -> tuple[Split, ...]:
    """The splits, if each has images and labels for each of them. Raises BadInput otherwise."""
    for split in splits:
        if not len(split.images):
            raise BadInput(f"{split.domain}: the training split has no image")
        if split.labels is not None and split.labels.names != split.images.names:
            raise BadInput(
                f"{split.domain}: the stores of images and labels name other images; prepare the suite again"
            )
    return tuple(splits)


def load(job: TrainingJob, *, first: int, workers: int, pin: bool = False) -> DataLoader:
    """The batches from step `first` to the end, in page-locked memory if `pin`."""
    steps = range(first, job.training.steps)
    return DataLoader(
        StepBatches(job),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_leave_sigterm_to_the_trainer,
    )


def _leave_sigterm_to_the_trainer(_: int) -> None:
    # a scheduler tells every process of a job; one that died of it would end the trainer before it has saved
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
