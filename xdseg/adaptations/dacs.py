"""DACS: a mean teacher labels target images, source classes are pasted onto them, and the student learns the mixture.

Tranheden et al., WACV 2021. The total is the source's cross entropy, which every method has, plus that of the mixed
images; the student is evaluated. Departs from the released code: the mean of the loss is over labelled pixels,
where theirs counts ignored ones too, unless the segmenter's `mean_over` says so; the teacher starts as an average
(`xdseg.training.teacher`).

`teacher_norm` is `batch` by default, as published, and for a reason of our own: with a ResNet-18 and 300 steps the
running statistics are those of a network that was worse, and of source and mixed images; a batch of target crops has
hundreds of cells per channel in the deepest map. Choose `running` where a batch is one or two images.
"""

from torch import Tensor

from xdseg.adaptations.classmix import Mixed, mix, paste_masks
from xdseg.adaptations.contract import Adaptation, Needs, PseudoLabels
from xdseg.adaptations.photometric import changed
from xdseg.adaptations.pseudo_labels import rows_ignored, threshold_weighted
from xdseg.segmenters.contract import Description
from xdseg.settings.dacs import Dacs as Settings
from xdseg.training.step import Step

VIEW = "mixed"


class Dacs(Adaptation):
    """The mixed images' term, and pseudo-labels for whichever other term wants them; no parameters of its own."""

    divisible = True
    provides_pseudo_labels = True

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings = settings
        self.needs = Needs(
            target="images", teacher=settings.alpha, teacher_norm=settings.teacher_norm, pseudo_labels=True
        )

    def pseudo_labels(self, step: Step) -> PseudoLabels:
        """The teacher's most probable classes on the plain target, weighted by the share of confident pixels."""
        settings, images = self.settings, step.view("target")
        given = threshold_weighted(step.teacher("target"), images, threshold=settings.threshold)
        return rows_ignored(given, top=settings.ignore_top, bottom=settings.ignore_bottom)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Weighted loss of the student on the mixed images, under the names of the segmenter's own terms."""
        if not self.settings.weight:
            return {}
        mixed = self.mixed(step)
        step.add_view(VIEW, changed(mixed.images, self.settings.views, step.stream("photometric/mixed")))
        terms = step.student(VIEW).prediction.loss(mixed.labels, mixed.weights)
        return {name: self.settings.weight * value for name, value in terms.items()}

    def mixed(self, step: Step) -> Mixed:
        """The step's source pasted onto its target, before any change of colour."""
        masks = paste_masks(step.source.labels, step.stream("classmix"), classes_of=self.settings.classes_of)
        return mix(step.source, step.view("target"), step.pseudo_labels(), masks)
