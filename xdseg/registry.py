"""The components that params.yaml can name, declared without importing what they are made of.

A declaration holds the settings class, the version that enters fingerprints, and where the implementation lives as
`module:attribute`, imported only by a process that builds it. A module listed under `plugins:` in params.yaml adds
its own with the same two functions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from xdseg.errors import BadInput, suggest
from xdseg.settings import (
    adversarial,
    dacs,
    deeplabv2,
    eomt,
    feature_distance,
    foundation,
    hrda,
    ladder,
    masked_consistency,
    mfm,
    mfuser,
    minent,
    mit,
    segmenters,
    tmt,
    tqdm,
)
from xdseg.settings.base import Settings


@dataclass(frozen=True)
class Component:
    """One segmenter or adaptation: its name, settings, version and implementation."""

    name: str
    settings: type[Settings]
    build: str  # module:attribute, called with (settings, ...) by whoever trains
    version: int
    needs_target: str = "nothing"  # adaptations only: nothing, images or labels

    def load(self) -> Callable[..., Any]:
        """Import the implementation. Raises BadInput if the module or the name in it is missing."""
        module, _, attribute = self.build.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise BadInput(f"{self.name}: cannot load {self.build}: {error}") from error


@dataclass
class Registry:
    """Components of one kind by name."""

    kind: str
    components: dict[str, Component] = field(default_factory=dict)

    def add(self, component: Component) -> None:
        """Declare a component. Raises BadInput if the name is taken by another one."""
        if self.components.setdefault(component.name, component) != component:
            raise BadInput(f"{self.kind} {component.name}: declared twice, by two modules; rename one")

    def __getitem__(self, name: str) -> Component:
        if name not in self.components:
            raise BadInput(f"unknown {self.kind} {name!r}; {suggest(name, self.components)}")
        return self.components[name]

    def __iter__(self):
        return iter(sorted(self.components))


SEGMENTERS = Registry("segmenter")
ADAPTATIONS = Registry("adaptation")

SEGMENTERS.add(
    Component("deeplabv3plus", segmenters.DeepLabV3Plus, "xdseg.segmenters.deeplabv3plus:DeepLabV3Plus", version=1)
)
ADAPTATIONS.add(
    Component(
        "adversarial",
        adversarial.Adversarial,
        "xdseg.adaptations.adversarial:Adversarial",
        version=1,
        needs_target="images",
    )
)
SEGMENTERS.add(Component("deeplabv2", deeplabv2.DeepLabV2, "xdseg.segmenters.deeplabv2:DeepLabV2", version=1))
ADAPTATIONS.add(Component("dacs", dacs.Dacs, "xdseg.adaptations.dacs:Dacs", version=1, needs_target="images"))
ADAPTATIONS.add(Component("minent", minent.MinEnt, "xdseg.adaptations.minent:MinEnt", version=1, needs_target="images"))
ADAPTATIONS.add(
    Component(
        "feature-distance",
        feature_distance.FeatureDistance,
        "xdseg.adaptations.feature_distance:FeatureDistance",
        version=1,
    )
)
ADAPTATIONS.add(
    Component(
        "masked-consistency",
        masked_consistency.MaskedConsistency,
        "xdseg.adaptations.masked_consistency:MaskedConsistency",
        version=1,
        needs_target="images",
    )
)
SEGMENTERS.add(Component("daformer", mit.DAFormer, "xdseg.segmenters.daformer:DAFormer", version=1))
SEGMENTERS.add(Component("segformer", mit.SegFormer, "xdseg.segmenters.segformer:SegFormer", version=1))
SEGMENTERS.add(Component("hrda", hrda.HRDA, "xdseg.segmenters.hrda.segmenter:HRDA", version=1))
SEGMENTERS.add(Component("eomt", eomt.EoMT, "xdseg.segmenters.eomt:EoMT", version=1))
SEGMENTERS.add(
    Component("vit-mask2former", ladder.ViTMask2Former, "xdseg.segmenters.ladder.ladder:ViTMask2Former", version=1)
)
SEGMENTERS.add(
    Component("foundation", foundation.Foundation, "xdseg.segmenters.foundation_segmenter:Foundation", version=1)
)
ADAPTATIONS.add(Component("mfm", mfm.Mfm, "xdseg.adaptations.mfm.mfm:Mfm", version=1, needs_target="images"))
SEGMENTERS.add(Component("mfuser", mfuser.MFuser, "xdseg.segmenters.mfuser.segmenter:MFuser", version=1))
ADAPTATIONS.add(Component("tmt", tmt.Tmt, "xdseg.adaptations.tmt.tmt:Tmt", version=1, needs_target="images"))
SEGMENTERS.add(Component("tqdm", tqdm.Tqdm, "xdseg.segmenters.tqdm:Tqdm", version=1))
