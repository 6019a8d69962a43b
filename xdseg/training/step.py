"""One round of one step, as adaptations see it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from xdseg.adaptations.contract import PseudoLabels
from xdseg.data.loading import Batch, Labelled, Unlabelled
from xdseg.segmenters.contract import Features, Prediction, Steer
from xdseg.training.frozen import decode_frozen
from xdseg.training.streams import generator, global_state, seed_network, set_global_state

if TYPE_CHECKING:  # the train step makes steps
    from xdseg.training.train_step import TrainStep

T = TypeVar("T")


@dataclass(frozen=True)
class Pass:
    """What the student made of one view."""

    features: Features
    prediction: Prediction


@dataclass(frozen=True)
class Encoded:
    """Features of one view, and where encoding them left the global generators, which decoding draws on."""

    features: Features
    state: list[Tensor]


class Step:
    """Data, random streams and memoised passes through the networks.

    Views are named image batches: `source`, `target`, and what adaptations add (mixed, masked or jittered images).
    """

    def __init__(self, module: "TrainStep", batch: Batch) -> None:
        self.source: Labelled = batch.source
        self.target: Unlabelled | None = batch.target  # without `labels` unless the setting grants them
        self.index, self.total = batch.index, module.total
        self._module, self._round = module, batch.round
        self._views = {"source": self.source.images}
        if self.target is not None:
            self._views["target"] = self.target.images
        self._memory: dict[tuple[str, str], object] = {}
        self._steers: dict[str, Steer | None] = {}
        self._steering: Callable[[str], Steer | None] = lambda view: None

    def add_view(self, name: str, images: Tensor) -> None:
        """Give a batch of images (B, 3, H, W) a name. Raises ValueError if the name is taken."""
        if name in self._views:
            raise ValueError(f"view {name!r} is there already")
        self._views[name] = images

    def view(self, name: str) -> Tensor:
        """The images (B, 3, H, W) of a view. Raises KeyError if there is none of that name."""
        return self._views[name]

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that there are."""
        return tuple(self._views)

    def stream(self, name: str) -> torch.Generator:
        """A generator on the CPU at the start of a stream of this step and round."""
        return generator(self._module.seed, self._stream_name(name), self.index)

    def student(self, view: str) -> Pass:
        """Features and prediction of the network in training, with gradient; computed once per view."""
        return self._once("student", view, self._student)

    def features(self, view: str) -> Features:
        """Features alone of the network in training: those of `student(view)`, which are made once, whoever asks first.

        Neither call changes a bit of what the other gives.
        """
        if ("student", view) in self._memory:
            return self.student(view).features
        return self._once("encoded", view, lambda name: Encoded(self._encode(name), global_state())).features

    def decode(self, features: Features, name: str, *, frozen: bool = False) -> Prediction:
        """The prediction of the network in training for changed features; its draws depend on `name` alone.

        With `frozen` the parameters that decoding reads take no gradient.
        """
        seed_network(self._module.seed, self._stream_name(f"decode/{name}"), self.index)
        if frozen:
            return decode_frozen(self._module.segmenter, features, steer=self.steer(name))
        return self._module.segmenter.decode(features, steer=self.steer(name))

    def teacher(self, view: str) -> Tensor:
        """Probabilities (B, K, H, W) of the teacher, without gradient. Only if an adaptation needs a teacher."""
        teacher = _present(self._module.teacher, "teacher")
        return self._once("teacher", view, lambda name: teacher.probabilities(self.view(name)))

    def teacher_features(self, view: str) -> Features:
        """Maps of the teacher, without gradient and without parts. Only if an adaptation needs a teacher."""
        return self._once("teacher_features", view, self._teacher_features)

    def reference(self, view: str) -> Features:
        """Maps of the segmenter before training, without gradient. Only if an adaptation needs them."""
        return self._once("reference", view, self._reference)

    def pseudo_labels(self) -> PseudoLabels:
        """Of the target's images, from the one adaptation of the method that provides them."""
        provider = _present(self._module.provider_of("pseudo_labels"), "pseudo_labels")
        return self._once("pseudo_labels", "target", lambda _: provider.pseudo_labels(self))

    def need(self, view: str) -> Tensor:
        """(B, h, w) in [0, 1]: where adaptation needs most, from the one adaptation of the method that tells it."""
        provider = _present(self._module.provider_of("need"), "need")
        return self._once("need", view, lambda name: provider.need(self, name))

    def steer(self, view: str) -> Steer | None:
        """What adaptations lead the student's attention with in the pass of a view."""
        if view not in self._steers:
            self._steers[view] = self._steering(view)
        return self._steers[view]

    def set_steer(self, steering: Callable[[str], Steer | None]) -> None:
        """Set once, before the first pass of the student; it is asked once per view."""
        self._steering = steering

    def _once(self, kind: str, view: str, compute: Callable[[str], T]) -> T:
        if (kind, view) not in self._memory:
            self._memory[kind, view] = compute(view)
        return self._memory[kind, view]

    def _student(self, view: str) -> Pass:
        encoded = self._memory.get(("encoded", view))
        if encoded is None:
            features = self._encode(view)
        else:
            features = encoded.features
            set_global_state(encoded.state)
        return Pass(features, self._module.segmenter.decode(features, steer=self.steer(view)))

    def _encode(self, view: str) -> Features:
        # Dropout of a view depends on the view alone, not on which passes other adaptations made before it.
        seed_network(self._module.seed, self._stream_name(f"network/{view}"), self.index)
        stream = self.stream(f"encode/{view}")
        return self._module.segmenter.encode(self.view(view), stream=stream, steer=self.steer(view))

    @torch.no_grad()
    def _teacher_features(self, view: str) -> Features:
        return Features(_present(self._module.teacher, "teacher").segmenter.maps(self.view(view)))

    @torch.no_grad()
    def _reference(self, view: str) -> Features:
        return Features(_present(self._module.reference, "reference").maps(self.view(view)))

    def _stream_name(self, name: str) -> str:
        return f"{name}#{self._round}" if self._round else name


def _present(part: T | None, need: str) -> T:
    """What an adaptation asks for. Raises LookupError where none declared that it needs it."""
    if part is None:
        raise LookupError(
            f"there is no {need} in this method: the adaptation that asks for it must declare Needs({need}=...)"
        )
    return part
