"""A plugin as a user would write one: a small segmenter and a few adaptations, declared through the registry."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.contract import Adaptation, Needs, PseudoLabels
from xdseg.registry import ADAPTATIONS, SEGMENTERS, Component
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site
from xdseg.segmenters.dense import DensePrediction
from xdseg.settings.base import Settings

SEEN: list[dict] = []  # what `toy-spy` saw, step by step


class ToySettings(Settings):
    """Width and dropout of the toy network."""

    channels: int = 8
    dropout: float = 0.1


class Toy(Segmenter):
    """Two convolutions, one attention-like gate that can be steered, no batch norm."""

    def __init__(self, settings, classes):
        super().__init__()
        self.classes, self.channels = tuple(classes), settings.channels
        self.encoder = nn.ModuleDict(
            {
                "fine": nn.Conv2d(3, self.channels, 3, stride=2, padding=1),
                "deep": nn.Conv2d(self.channels, 2 * self.channels, 3, stride=2, padding=1),
            }
        )
        self.norm = nn.GroupNorm(2, 2 * self.channels)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Conv2d(3 * self.channels, len(self.classes), 1)

    def describe(self):
        """Two maps and one site."""
        maps = (MapSpec("fine", self.channels, 2), MapSpec("deep", 2 * self.channels, 4))
        return Description(self.classes, maps, multiple=4, sites=(Site("gate", heads=1, reads=maps[1]),))

    def encode(self, images, *, stream=None, steer=None):
        """Maps at strides 2 and 4."""
        fine = F.relu(self.encoder["fine"](images))
        return Features({"fine": fine, "deep": F.relu(self.encoder["deep"](fine))})

    def decode(self, features, *, steer=None):
        """Logits at stride 2."""
        fine, deep = features.maps["fine"], self.norm(features.maps["deep"])
        bias = steer("gate", features, tuple(deep.shape[-2:])) if steer else None
        if bias is not None:  # (B, heads, queries, keys), or what fits it
            cells = deep.shape[-2] * deep.shape[-1]
            deep = deep + bias.mean((1, 2)).expand(-1, cells).unflatten(1, deep.shape[-2:])[:, None]
        deep = F.interpolate(deep, fine.shape[-2:])
        return DensePrediction(self.head(self.dropout(torch.cat([fine, deep], dim=1))))


class TermSettings(Settings):
    """Weight of the entropy term."""

    weight: float = 1.0


class Entropy(Adaptation):
    """Pushes the target's predictions to be sharp, with a scale of its own to train; weight 0 leaves it out."""

    needs = Needs(target="images")

    def __init__(self, settings, description):
        super().__init__()
        self.weight = settings.weight
        self.scale = nn.Parameter(torch.rand(len(description.classes), 1, 1))

    def losses(self, step):
        """Mean entropy of the target's probabilities."""
        if not self.weight:
            return {}
        noise = torch.rand((), generator=step.stream("entropy")).item()
        p = step.student("target").prediction.probabilities((8, 8))
        return {"entropy": self.weight * noise * -(self.scale * p * p.clamp(min=1e-6).log()).sum(1).mean()}


class AtSettings(Settings):
    """The step at which something happens; never if -1."""

    at: int = -1


class Kill(Adaptation):
    """Ends the process's run after step `at`, like a kill would."""

    def __init__(self, settings, description):
        super().__init__()
        self.at = settings.at

    def after_step(self, step):
        """Raise KeyboardInterrupt once."""
        if step.index == self.at:
            raise KeyboardInterrupt


class Poison(Adaptation):
    """A loss term that is not a number at step `at`."""

    def __init__(self, settings, description):
        super().__init__()
        self.at = settings.at

    def losses(self, step):
        """Zero, or NaN."""
        return {"bad": torch.tensor(float("nan") if step.index == self.at else 0.0)}


class Spy(Adaptation):
    """Notes what a step shows."""

    needs = Needs(target="images")

    def __init__(self, settings, description):
        super().__init__()

    def losses(self, step):
        """Nothing but notes."""
        SEEN.append(
            {
                "index": step.index,
                "names": step.source.names,
                "labelled": hasattr(step.target, "labels"),
                "same_pass": step.student("source") is step.student("source"),
                "draw": torch.rand((), generator=step.stream("spy")).item(),
            }
        )
        return {}


class Steering(Adaptation):
    """A bias of `weight` at every site: the same for all queries and keys, so that it fits any."""

    def __init__(self, settings, description):
        super().__init__()
        self.weight = settings.weight

    def steer(self, step, view=None):
        """Constant bias, or none at weight 0."""
        weight = self.weight
        return (lambda site, features, keys: torch.full((1, 1, 1, 1), weight)) if weight else None


class SelfTraining(Adaptation):
    """The teacher's labels as targets: provider and consumer in one."""

    needs = Needs(target="images", teacher=0.9, reference=True, pseudo_labels=True)
    provides_pseudo_labels = True

    def __init__(self, settings, description):
        super().__init__()

    def pseudo_labels(self, step):
        """Most probable class of each pixel, weight its probability."""
        weights, labels = step.teacher("target").max(1)
        return PseudoLabels(labels, weights)

    def losses(self, step):
        """Weighted cross entropy on the target, and how far features went from where they began."""
        given = step.pseudo_labels()
        terms = step.student("target").prediction.loss(given.labels, given.weights)
        name, deepest = list(step.student("source").features.maps.items())[-1]
        drift: Tensor = (deepest - step.reference("source").maps[name]).square()
        return {**terms, "drift": 0.01 * drift.mean()}


SEGMENTERS.add(Component("toy", ToySettings, "plugin_example:Toy", version=1))
for name, settings, kind, target in [
    ("toy-entropy", TermSettings, "Entropy", "images"),
    ("toy-kill", AtSettings, "Kill", "nothing"),
    ("toy-poison", AtSettings, "Poison", "nothing"),
    ("toy-spy", TermSettings, "Spy", "images"),
    ("toy-steering", TermSettings, "Steering", "nothing"),
    ("toy-self-training", TermSettings, "SelfTraining", "images"),
    ("toy-self-training-too", TermSettings, "SelfTraining", "images"),
]:
    ADAPTATIONS.add(Component(name, settings, f"plugin_example:{kind}", version=1, needs_target=target))
