"""TMT, a reconstruction: regions that do not transfer and that the network is unsure of get more of its attention.

Zhang et al., "TMT: Cross-domain Semantic Segmentation with Region-adaptive Transferability Estimation", arXiv
2504.05774, of which no code and, but for the clustering, no formula is public: the row says "reconstruction", and
docs/tmt.md what is known and what is ours.

ACTE groups a map into regions; a discriminator learns from which domain each is, through a reversed gradient (the term
`region`), and its doubt is the region's transferability; an auxiliary head (the term `head`, which trains nothing of
the segmenter) tells the uncertainty. TMA leads the attention of later layers by both. With `tma.kind: none` it is
region-wise adversarial training, with `acte.iterations: 0` patch-wise. A segmenter without attention has the terms
alone.

The setting decides what else trains: with `finetune` the target's labels, with `uda` the host's self-training. Source
images pass even where `supervision: target` leaves their loss out: through the encoder alone, where that is enough.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.adaptations.tmt.guide import Guide, Lead
from xdseg.adaptations.tmt.need import uncertainty
from xdseg.adaptations.tmt.prototypes import SOURCE, TARGET
from xdseg.adaptations.tmt.reader import Read
from xdseg.adaptations.tmt.reversal import grown
from xdseg.adaptations.tmt.sites import chosen_sites, read_maps
from xdseg.data.loading import Labelled
from xdseg.segmenters.contract import Description, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.parameters import parameter_groups
from xdseg.settings.tmt import Tmt as Settings
from xdseg.settings.training import Training
from xdseg.training.ranks import global_sum, part
from xdseg.training.step import Step

GAMMAS, READERS = "guide.attention.", "guide.readers."  # prefixes of their names
DOMAINS = {"source": 1.0, "target": 0.0}  # what the discriminator is to say


class Tmt(Adaptation):
    """Terms `region`, `head` and, if wanted, `entropy`; the steer; and a map of need for others."""

    divisible = True
    provides_need = True

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings = settings
        taught = settings.acte.uncertainty == "teacher" and settings.acts
        teacher = {"teacher": settings.teacher_rate, "teacher_norm": settings.teacher_norm} if taught else {}
        self.needs = Needs(target="images", **teacher)
        sites = chosen_sites(description, settings.tma)
        self.guide = Guide(settings, sites, read_maps(description, sites), len(description.classes))
        self._last_map = description.maps[-1].name
        self._step: Step | None = None
        self._leads: dict[str, Lead] = {}
        self._measured: dict[str, Tensor] = {}

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """ACTE's and the gammas, each with the heads' rate times a factor of its own."""
        named, found = list(self.named_parameters()), []
        for prefix, factor in ((READERS, self.settings.acte.lr_factor), (GAMMAS, self.settings.tma.lr_factor)):
            own = recipe.model_copy(update={"head_lr_factor": recipe.head_lr_factor * factor})
            part = [(name, parameter) for name, parameter in named if name.startswith(prefix)]
            found += parameter_groups(part, own, is_head=lambda name: True)
        return found

    def steer(self, step: Step | None, view: str | None = None) -> Steer | None:
        """A lead per pass; none where nothing is led and no term needs what a site sees."""
        if step is None:
            return Lead(self.guide, strength=1.0, seen_from=SOURCE) if self.inference_modules() else None
        return self.lead(step, view) if self.settings.acts and self.guide.sites else None

    def lead(self, step: Step, view: str) -> Lead:
        """The one of a view of this step, made when it is first asked for."""
        if self._step is not step:
            self._step, self._leads = step, {}
        if view not in self._leads:
            taught = self.settings.acte.uncertainty == "teacher" and view in step.views
            doubt = (lambda: uncertainty(step.teacher(view))) if taught else None
            seen_from = TARGET if view == "source" else SOURCE
            how = {"strength": self.strength(step), "seen_from": seen_from, "doubt": doubt, "keeps": view in DOMAINS}
            self._leads[view] = Lead(self.guide, **how)
        return self._leads[view]

    def strength(self, step: Step) -> float:
        """Of the lead, from 0 to 1 over a run."""
        tma = self.settings.tma
        if tma.start == "rise":
            return grown(step.index, step.total)
        return float(step.index >= tma.delay * step.total)

    def reads(self, step: Step, view: str) -> list[Read]:
        """What ACTE makes of a view; the student passes it no further than it must."""
        lead = self.lead(step, view)
        features = step.features(view)
        if not self.guide.sites:
            lead.note(self._last_map, features.maps[self._last_map])
        elif not lead.seen:
            step.student(view)
        return lead.reads()

    def losses(self, step: Step) -> dict[str, Tensor]:
        """The terms; all of them leave no trace where nothing of this acts."""
        settings, terms = self.settings, {}
        if not settings.acts:
            return terms
        reads = {view: self.reads(step, view) for view in DOMAINS}
        if settings.weight:
            terms["region"] = settings.weight * self.region_loss(step, reads)
            self._measured = self.measured(step, reads)
        terms["head"] = self.head_loss(step, reads)
        if settings.acte.transferability == "proto":
            self.follow(step, reads)
        if settings.entropy_weight:
            need = self.need(step, "target")
            doubt = uncertainty(step.student("target").prediction.probabilities(tuple(need.shape[-2:])))
            terms["entropy"] = settings.entropy_weight * part(len(need)) * (need * doubt).mean()
        return terms

    def region_loss(self, step: Step, reads: dict[str, list[Read]]) -> Tensor:
        """Mean over domains and maps; ln 2 at chance."""
        factor, losses = grown(step.index, step.total), []
        for view, label in DOMAINS.items():
            for number, read in enumerate(reads[view]):
                draws = step.stream(f"tmt/{view}/{number}")
                losses.append(
                    read.reader.domain_loss(read.regions, label, reversal=factor, draws=draws) / len(reads[view])
                )
        return torch.stack(losses).sum() / len(DOMAINS)

    def head_loss(self, step: Step, reads: dict[str, list[Read]]) -> Tensor:
        """Of the auxiliary heads: on the target's labels where they are granted, else on the source's."""
        granted = isinstance(step.target, Labelled)
        view, labels = ("target", step.target.labels) if granted else ("source", step.source.labels)
        first = {id(read.reader): read for read in reversed(reads[view])}.values()  # further ones may be details
        losses = [DensePrediction(read.reader.head_logits(read.feature)).loss(labels) for read in first]
        return torch.stack([loss["cross_entropy"] for loss in losses]).mean()

    @torch.no_grad()
    def measured(self, step: Step, reads: dict[str, list[Read]]) -> dict[str, Tensor]:
        """Accuracy of the discriminator, domains counting alike; of target images, what their maps tell apart.

        `spread` is the deviation of T over an image's regions, `contrast` that of the need over its cells.
        """
        right, spread, contrast = [], [], []
        for view, label in DOMAINS.items():
            for read in reads[view]:
                logits, mass = read.reader.verdict(read.regions), read.regions.mass
                known = global_sum((mass * ((logits > 0) == bool(label))).sum()) / global_sum(mass.sum())
                right.append(known / len(reads[view]))
                if view == "target":
                    transfer = read.reader.transfer(read.regions.detached(), seen_from=SOURCE)
                    spread.append(deviation(transfer))
                    contrast.append(deviation(self.lead(step, view).led_by(read).dense))
        means = {"spread": torch.stack(spread).mean(), "contrast": torch.stack(contrast).mean()}
        return {"accuracy": torch.stack(right).sum() / len(DOMAINS)} | means

    def measures(self) -> dict[str, float]:
        """`accuracy`, `spread` and `contrast` of the last step, and the largest absolute gamma within its limit."""
        found = {name: float(value) for name, value in self._measured.items()}
        return found | self.guide.attention.largest()

    def follow(self, step: Step, reads: dict[str, list[Read]]) -> None:
        """Move prototypes towards this step's features; without labels, by the head's answer."""
        for view, domain in (("source", SOURCE), ("target", TARGET)):
            labels = getattr(getattr(step, view), "labels", None)
            for read in reads[view][:1]:
                size = tuple(read.x.shape[-2:])
                if labels is None:
                    given = read.reader.head(read.x.detach()).argmax(1)
                else:
                    given = F.interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].long()
                read.reader.prototypes.follow(read.x.detach(), given, domain=domain)

    def need(self, step: Step, view: str) -> Tensor:
        """(B, h, w) in [0, 1]: of the first map that is read."""
        read = self.reads(step, view)[0]
        with torch.no_grad():
            return self.lead(step, view).led_by(read).dense.detach()

    def after_step(self, step: Step) -> None:
        """Let go of the step's maps."""
        self._step, self._leads = None, {}

    def inference_modules(self) -> dict[str, Guide]:
        """The guide, where attention is led at test time."""
        tma = self.settings.tma
        return {"guide": self.guide} if tma.kind != "none" and tma.test and self.guide.sites else {}


def deviation(values: Tensor) -> Tensor:
    """Of values (B, h, w) over the places of an image, mean over the images of all processes."""
    return global_sum(part(len(values)) * values.flatten(1).std(1, correction=0).mean())
