"""The toy with a further head on its fine map, and steps of jobs in which it is the segmenter."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import tiny_jobs
from plugin_example import Toy, ToySettings
from torch import nn

from xdseg.data.loading import StepBatches
from xdseg.registry import ADAPTATIONS
from xdseg.segmenters.contract import Prediction
from xdseg.segmenters.dense import DensePrediction
from xdseg.training.step import Step
from xdseg.training.streams import global_draws
from xdseg.training.train_step import TrainStep, prepared


@dataclass(frozen=True)
class TwoLevels(DensePrediction):
    """A prediction with a further one."""

    auxiliary: Mapping[str, Prediction] = field(default_factory=dict)


class TwoHeads(Toy):
    """The toy, and a classifier `middle` of its fine map."""

    def __init__(self, settings, classes):
        super().__init__(settings, classes)
        self.middle = nn.Conv2d(self.channels, len(self.classes), 1)

    def describe(self):
        """The toy's description with the name of the further head."""
        return replace(super().describe(), auxiliary=("middle",))

    def decode(self, features, *, steer=None):
        """Logits of both heads."""
        logits = super().decode(features, steer=steer).logits
        return TwoLevels(logits, auxiliary={"middle": DensePrediction(self.middle(features.maps["fine"]))})


def module_with(kind, settings=None, *, segmenter=TwoHeads):
    """A train step of one adaptation on a toy without dropout, the same draws each time."""
    with global_draws(0, "network", 0):
        network = segmenter(ToySettings(dropout=0), tiny_jobs.CLASSES)
    component = ADAPTATIONS[kind]
    with global_draws(0, kind, 0):
        adaptation = component.load()(component.settings(**(settings or {})), network.describe())
    return TrainStep(network, {kind: adaptation}, seed=3, total=10).train()


def step_of(module, folder, *, target="images"):
    """The first step of a small job; its target has labels where `target` is `labels`."""
    job = tiny_jobs.make_job(folder, target=target)
    return Step(module, prepared(StepBatches(job)[0]))
