"""What every adaptation offers: a term or change in training that knows a segmenter only by its contract."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from xdseg.segmenters.contract import Steer
from xdseg.segmenters.parameters import parameter_groups
from xdseg.settings.training import TeacherNorm, Training

if TYPE_CHECKING:  # the step composes adaptations, so it cannot be imported here
    from xdseg.training.step import Step


@dataclass(frozen=True)
class Needs:
    """What must exist for an adaptation to run; what no adaptation needs is not built."""

    target: Literal["nothing", "images", "labels"] = "nothing"
    teacher: float | None = None  # EMA rate of the teacher's parameters; one teacher per method
    teacher_norm: TeacherNorm = "batch"  # what the teacher's batch norm reads, see xdseg.training.teacher
    reference: bool = False  # the segmenter as it was before training, frozen
    pseudo_labels: bool = False  # from whichever adaptation of the method provides them
    need: bool = False  # a map of where adaptation needs most, likewise


@dataclass(frozen=True)
class PseudoLabels:
    """Labels that a teacher gave to the target's images."""

    labels: Tensor  # (B, H, W) int64, 255 where nothing is claimed
    weights: Tensor  # (B, H, W) float32 in [0, 1]


class Adaptation(nn.Module, ABC):
    """Built as `Class(settings, description)`, with all initial draws from torch's global generator.

    A term whose weight is 0 is left out altogether, passes through the network included: batch norm's running
    statistics would otherwise tell that it was there.
    """

    needs: Needs = Needs()
    provides_pseudo_labels: bool = False  # at most one adaptation of a method may
    provides_need: bool = False  # likewise
    divisible: bool = False  # whether processes can share its batch: its means and draws are by xdseg.training.ranks

    def losses(self, step: "Step") -> dict[str, Tensor]:
        """Scalar terms by name, already weighted; the total is their plain sum with all others."""
        return {}

    def steer(self, step: "Step | None", view: str | None = None) -> Steer | None:
        """What leads the network's attention in its pass over a view of this step, or at test time; most have nothing.

        Asked once per view, before the pass; for `step.decode` the view is the name given there. At test time, both
        are None, and only `inference_modules` are what training made of them. No steer reaches teacher and reference.
        """
        return None

    def pseudo_labels(self, step: "Step") -> PseudoLabels:
        """Called at most once per step, through `step.pseudo_labels()`."""
        raise NotImplementedError(f"{type(self).__name__} provides no pseudo-labels")

    def need(self, step: "Step", view: str) -> Tensor:
        """(B, h, w) in [0, 1], of any size, without gradient: where in a view adaptation needs most."""
        raise NotImplementedError(f"{type(self).__name__} provides no map of need")

    def measures(self) -> dict[str, float]:
        """What a run's curve shows of the last step beside its losses; most have nothing."""
        return {}

    def after_step(self, step: "Step") -> None:
        """Called after the optimiser; with accumulation, `step` is that of the last round."""

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """As the segmenter's, with the head's learning rate; a group may name its own `optimizer` and `betas`."""
        return parameter_groups(self.named_parameters(), recipe, is_head=lambda name: True)

    def inference_modules(self) -> Mapping[str, nn.Module]:
        """What prediction needs of it, saved with the segmenter; default nothing."""
        return {}
