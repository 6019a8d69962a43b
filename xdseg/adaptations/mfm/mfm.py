"""Masked Feature Modeling: parts of the encoder's maps are hidden and rebuilt, and must still decode to their classes.

Zhou et al., arXiv 2509.13801 (v2: Masked Representation Modeling, CVPR 2026): re-implemented from the design of the
released module and the reported hyper-parameters; how it is tied into training is ours. The encoder sees whole target
images. Tokens of its maps are hidden at random, one mask for all maps; a small transformer rebuilds them
(`rebuilder`), and the host's own decoder and loss compare the result with the host's pseudo-labels. Gradients reach
encoder, decoder and rebuilder; the latter is left out at test time.

What is not published and chosen here: the target as loaded is what is encoded, in one pass with whatever else reads its
features; the term begins with the first step; the rebuilder is not averaged into the teacher; batch norm and dropout
are as in any pass. What a segmenter puts in the features' context (EoMT: class and register tokens) stays as it is. Of
several views of an image (HRDA) each has its own mask and all share the rebuilder.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.adaptations.mfm.masks import draw_mask, merged, shares_of, token_grid, zeros_like
from xdseg.adaptations.mfm.places import Maps, cut, detached, hidden_pixels, places, replaced
from xdseg.adaptations.mfm.rebuilder import Rebuilder
from xdseg.adaptations.mfm.targets import PixelHead, hidden_error, map_error, patches
from xdseg.adaptations.photometric import changed
from xdseg.data.tensors import IGNORE
from xdseg.segmenters.contract import Description, Features
from xdseg.segmenters.parameters import parameter_groups
from xdseg.settings.mfm import Mfm as Settings
from xdseg.settings.training import Training
from xdseg.training.step import Step

VIEW = "mfm"  # the target's images, augmented
BOTH = ("target", "source")
Keeps = Mapping[str, Tensor]  # by place, (B, h, w) bool


class Mfm(Adaptation):
    """The term on rebuilt features, and the rebuilder."""

    divisible = True

    def __init__(self, settings: Settings, description: Description) -> None:
        super().__init__()
        self.settings = settings
        self.needs = needs_of(settings)
        self.domains = BOTH if settings.domain == "both" else (settings.domain,)
        last = description.maps[-1]
        token = max(settings.token_px, last.stride)
        self.last, self.cells = last.name, token / last.stride
        self.rebuilder = Rebuilder(description.maps, settings, token=token) if settings.rebuild else None
        self.pixel_head = PixelHead(self.rebuilder.width) if settings.target == "pixel" else None

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """The rebuilder's, with rate and decay of its own, in AdamW; the rate follows the heads' schedule."""
        rate = self.settings.lr or recipe.lr * recipe.head_lr_factor
        own = {"lr": rate, "head_lr_factor": 1.0, "weight_decay": self.settings.weight_decay}
        groups = parameter_groups(self.named_parameters(), recipe.model_copy(update=own), is_head=lambda name: True)
        return [{**group, "optimizer": "adamw"} for group in groups]

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Terms under the names of the host's own, or `rebuilt`; those of the source begin with `source_`."""
        if not self.settings.weight or step.index < self.settings.start * step.total:
            return {}
        losses = {}
        for domain in self.domains:
            prefix = "source_" if domain == "source" else ""
            terms = self.terms(step, domain)
            losses |= {f"{prefix}{name}": self.settings.weight * value for name, value in terms.items()}
        return losses

    def terms(self, step: Step, domain: str) -> dict[str, Tensor]:
        """Of one domain's images, not yet weighted."""
        view = self.view(step, domain)
        features = step.features(view)
        if self.settings.freeze == "encoder":
            features = detached(features)
        keeps = self.masks(step, domain, features)
        if self.settings.target == "class":
            return self.classified(step, domain, features, keeps)
        errors = [self.error(step, view, features, place, keep) for place, keep in keeps.items()]
        return {"rebuilt": torch.stack(errors).mean()}

    def view(self, step: Step, domain: str) -> str:
        """Name of the images that are encoded."""
        if domain == "source" or self.settings.view == "clean":
            return domain
        step.add_view(VIEW, changed(step.view(domain), self.settings.views, step.stream(f"photometric/{VIEW}")))
        return VIEW

    def masks(self, step: Step, domain: str, features: Features) -> Keeps:
        """One mask per place, each from a stream of its own."""
        # A teacher's maps are asked for without parts, which it would cut elsewhere.
        parts = self.settings.hrda == "both" and self.settings.target != "teacher-feature"
        return {
            place: draw_mask(
                len(maps[self.last]),
                token_grid(maps[self.last], self.cells),
                ratio=self.ratio(step, domain, features, place),
                draws=step.stream(f"mfm/{domain}/{place}"),
            ).to(maps[self.last].device)
            for place, maps in places(features, parts=parts).items()
        }

    def ratio(self, step: Step, domain: str, features: Features, place: str) -> float | Tensor:
        """Probability that a token is hidden: the same for all, or by what adaptation needs there."""
        if self.settings.mask == "uniform":
            return self.settings.ratio
        view = VIEW if domain == "target" and VIEW in step.views else domain
        size = tuple(step.view(view).shape[-2:])
        need = cut(F.interpolate(step.need(view)[:, None], size, mode="bilinear")[:, 0], features, place)
        last = places(features, parts=True)[place][self.last]
        return shares_of(need, token_grid(last, self.cells), self.settings.ratio)

    def classified(self, step: Step, domain: str, features: Features, keeps: Keeps) -> dict[str, Tensor]:
        """The host's own loss of what its decoder makes of rebuilt features."""
        frozen = self.settings.freeze == "decoder"
        prediction = step.decode(self.rebuilt(features, keeps), f"mfm/{domain}", frozen=frozen)
        labels, weights = labels_of(step, domain)
        if self.settings.loss_on == "masked":
            hidden = hidden_pixels(keeps, features, tuple(labels.shape[-2:]))
            labels = labels.masked_fill(~hidden, IGNORE)
            # to a mask classifier an ignored pixel is a negative; one of weight 0 is nothing
            weights = (torch.ones(labels.shape, device=labels.device) if weights is None else weights) * hidden
        return prediction.loss(labels, weights)

    def rebuilt(self, features: Features, keeps: Keeps) -> Features:
        """Features whose hidden cells are rebuilt, in every place that has a mask."""
        old = places(features, parts=True)
        return replaced(
            features, {place: merged(old[place], self.made(old[place], m), m) for place, m in keeps.items()}
        )

    def made(self, maps: Maps, keep: Tensor) -> Maps:
        """What stands in hidden cells, as whole maps."""
        return zeros_like(maps) if self.rebuilder is None else self.rebuilder(maps, keep)

    def error(self, step: Step, view: str, features: Features, place: str, keep: Tensor) -> Tensor:
        """Squared error of one place's hidden cells, in the chosen target's terms."""
        maps = places(features, parts=True)[place]
        if self.pixel_head is not None:
            wanted = patches(cut(step.view(view), features, place), tuple(keep.shape[-2:]))
            return hidden_error(self.pixel_head(self.rebuilder.states(maps, keep)), wanted, keep)
        wanted = step.teacher_features(view).maps if self.settings.target == "teacher-feature" else maps
        return map_error(self.made(maps, keep), wanted, keep)


def needs_of(settings: Settings) -> Needs:
    """Target images always; pseudo-labels where classes of the target are asked for; a teacher for its maps alone."""
    labels, by_need = settings.target == "class" and settings.domain != "source", settings.mask == "need"
    if settings.target == "teacher-feature":
        return Needs(target="images", teacher=settings.alpha, teacher_norm=settings.teacher_norm, need=by_need)
    return Needs(target="images", pseudo_labels=labels, need=by_need)


def labels_of(step: Step, domain: str) -> tuple[Tensor, Tensor | None]:
    """Labels and weights (B, H, W) of a domain's images; the source's count in full."""
    if domain == "source":
        return step.source.labels, None
    given = step.pseudo_labels()
    return given.labels, given.weights
