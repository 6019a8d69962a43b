"""Forward pass of a whole method: supervised terms and those of its adaptations.

The only module that compile may wrap: parts that are called past the wrapper would run as they are. Of several
processes each has one, with its share of the images; what they owe each other is in `xdseg.training.ranks`.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import reduce
from typing import TypeVar

from torch import Tensor, nn

from xdseg.adaptations.contract import Adaptation
from xdseg.data.loading import Batch, Labelled, Unlabelled
from xdseg.data.tensors import normalise
from xdseg.saved import added_name
from xdseg.segmenters.contract import Features, Segmenter, Size, Steer
from xdseg.segmenters.steering import Steering, together
from xdseg.settings.training import Supervision
from xdseg.training.step import Step
from xdseg.training.teacher import Teacher

T = TypeVar("T")


class TrainStep(nn.Module):
    """Segmenter, adaptations, and what they need; its state is all that a resume must restore of the networks."""

    def __init__(
        self,
        segmenter: Segmenter,
        adaptations: Mapping[str, Adaptation],
        *,
        seed: int,
        total: int,
        supervision: Supervision = "granted",
    ) -> None:
        super().__init__()
        self.segmenter, self.adaptations = segmenter, nn.ModuleDict(adaptations)
        self.seed, self.total, self.supervision = seed, total, supervision
        needs = [adaptation.needs for adaptation in adaptations.values()]
        taught = next((need for need in needs if need.teacher is not None), None)
        self.teacher = taught and Teacher(segmenter, taught.teacher, norm=taught.teacher_norm)
        wanted = any(need.reference for need in needs)
        self.reference = deepcopy(segmenter).requires_grad_(False) if wanted else None
        self._step: Step | None = None

    def provider_of(self, office: str) -> Adaptation | None:
        """The adaptation that gives `pseudo_labels`, or `need`, if there is one."""
        return next((part for part in self.adaptations.values() if getattr(part, f"provides_{office}")), None)

    def train(self, mode: bool = True) -> "TrainStep":
        """Set the mode of all parts but the reference, which stays as at test time."""
        super().train(mode)
        if self.reference is not None:
            self.reference.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss terms as `origin/name`; `batch` holds 8-bit pixels on this module's device."""
        self._step = step = Step(self, prepared(batch))
        for segmenter in (self.segmenter, self.teacher and self.teacher.segmenter):
            if segmenter is not None:
                segmenter.set_progress(step.index, step.total)
        step.set_steer(lambda view: combined(part.steer(step, view) for part in self.adaptations.values()))
        losses = self.supervised(step)
        for name, adaptation in self.adaptations.items():
            losses |= _named(name, adaptation.losses(step))
        return losses

    def supervised(self, step: Step) -> dict[str, Tensor]:
        """Terms of the labels that train: of the source, and of the target where the setting grants them.

        With supervision `target` the source makes no pass, as its batch norm statistics would stay in the network.
        """
        views = {} if self.supervision == "target" else {"source": step.source}
        if isinstance(step.target, Labelled):
            views["target"] = step.target
        losses: dict[str, Tensor] = {}
        for name, view in views.items():
            losses |= _named(name, step.student(name).prediction.loss(view.labels))
        return losses

    def after_step(self) -> None:
        """Called once the optimiser has updated the parameters; lets go of the step and its activations."""
        step, self._step = self._step, None
        if self.teacher is not None:
            self.teacher.follow(self.segmenter, step.index)
        for adaptation in self.adaptations.values():
            adaptation.after_step(step)

    def measures(self) -> dict[str, float]:
        """What adaptations show of the last step beside losses, as `origin/name`."""
        return {
            key: value
            for name, part in self.adaptations.items()
            for key, value in _named(name, part.measures()).items()
        }

    def inference_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that prediction needs: the segmenter's, and what it takes of adaptations."""
        yield from self.segmenter.parameters()
        for adaptation in self.adaptations.values():
            for module in adaptation.inference_modules().values():
                yield from module.parameters()

    def inference_state(self) -> dict[str, Tensor]:
        """The segmenter's state under its own names, and what prediction needs of adaptations."""
        state = dict(self.segmenter.state_dict())
        for name, adaptation in self.adaptations.items():
            for part, module in adaptation.inference_modules().items():
                state |= {added_name(name, part, key): value for key, value in module.state_dict().items()}
        return state


def _named(origin: str, terms: Mapping[str, T]) -> dict[str, T]:
    return {f"{origin}/{name}": value for name, value in terms.items()}


def prepared(batch: Batch) -> Batch:
    """The same batch as networks and losses take it: normalised float images, int64 labels."""
    return batch.mapped(_prepared)


def _prepared(images: Unlabelled) -> Unlabelled:
    changes = {"images": normalise(images.images)}
    if isinstance(images, Labelled):
        changes["labels"] = images.labels.long()
    return replace(images, **changes)


def combined(steers: Iterable[Steer | None]) -> Steer | None:
    """Several steers as one; None if there is none, and for a site where none steers."""
    present = [steer for steer in steers if steer is not None]
    if len(present) < 2:
        return present[0] if present else None

    def total(site: str, features: Features, keys: Size) -> Tensor | Steering | None:
        given = [found for steer in present if (found := steer(site, features, keys)) is not None]
        return reduce(together, given) if given else None

    return total
