"""A plugin whose segmenter costs nothing: what a grid of it takes is what the workflow takes."""

from xdseg.registry import SEGMENTERS, Component
from xdseg.settings.base import Settings


class StubSettings(Settings):
    """Nothing can be set."""


def build(settings, classes):
    """One weight per colour and class; torch is imported here, so that planning does without it."""
    from torch import nn

    from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter
    from xdseg.segmenters.dense import DensePrediction

    class Stub(Segmenter):
        def __init__(self):
            super().__init__()
            self.classes = tuple(classes)
            self.head = nn.Conv2d(3, len(self.classes), 1)

        def describe(self):
            return Description(classes=self.classes, maps=(MapSpec("pixels", 3, 1),), multiple=1)

        def encode(self, images, *, stream=None, steer=None):
            return Features(maps={"pixels": images})

        def decode(self, features, *, steer=None):
            return DensePrediction(self.head(features.maps["pixels"]))

    return Stub()


SEGMENTERS.add(Component("stub", StubSettings, "stub_segmenter:build", version=1))
