"""Settings of `tmt`: regions of a map and what adaptation needs of them (ACTE), and attention led there (TMA).

A reconstruction of TMT (arXiv 2504.05774): but for the clustering, no formula, number or default is published, so every
default is ours. `docs/tmt.md` says which is what.
"""

from typing import Literal

from pydantic import Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.training import Share, TeacherNorm

Shuffle = bool | Literal["roll"]


class Acte(Settings):
    """Adaptive Cluster-based Transferability Estimator: regions, and how much adaptation needs of each."""

    cell_px: int = Field(32, gt=0, description="side of a cell in pixels of the image; one cell of the map at least")
    iterations: int = Field(3, ge=0, description="L; 0: regions are the cells, equal patches as in TVT")
    sharpness: float = Field(20.0, gt=0, description="kappa; up to 10, regions can be worse than square patches")
    width: int = Field(256, gt=0, description="channels that the map is projected to")
    hidden: int = Field(256, gt=0, description="channels of the region discriminator's two hidden layers")
    dropout: float = Field(0.5, ge=0, lt=1, description="in the region discriminator, while it learns")
    lr_factor: float = Field(1.0, gt=0, description="learning rate of all of ACTE relative to the heads'")
    gradient: Literal["regions", "full"] = Field(
        "regions", description="through the means of regions alone, or through the assignment too"
    )
    transferability: Literal["entropy", "prob", "proto"] = Field(
        "entropy",
        description="of the discriminator's answer: its entropy, or 1 - |2 d - 1|; proto: likeness to the nearest "
        "class prototype of the other domain",
    )
    prototype_rate: float = Field(0.99, ge=0, lt=1, description="proto only: EMA rate of the prototypes")
    uncertainty: Literal["head", "teacher", "previous"] = Field(
        "head",
        description="whose entropy: of an auxiliary head on the same map, in training and testing alike; of the EMA "
        "teacher in training, and the head in testing; of the decoder's prediction before the layer",
    )
    combine: Literal["convex", "product", "noisy-or", "transferability", "uncertainty"] = Field(
        "convex", description="of 1 - T and U; the last two: one of them alone"
    )
    alpha: Share = Field(0.5, description="convex only: weight of 1 - T beside U")
    norm: Literal["zscore", "minmax", "none"] = Field("zscore", description="of the need map, image by image")
    norm_floor: float = Field(
        1e-5, ge=1e-5, lt=1, description="contrast below which the map is not stretched to full strength"
    )
    prefer: Literal["low", "high"] = Field(
        "low", description="which transferability attracts attention: low as TMT says, or high as in TVT"
    )
    shuffle: Shuffle = Field(
        False, description="the placebo: give the need to other regions, half a grid away (roll), or in a random order"
    )


class Tma(Settings):
    """Transferable Masked Attention: what the need map does to attention, and where."""

    kind: Literal["bias", "hard", "mult-raw", "query-gate", "none"] = Field(
        "bias",
        description="gamma per head times the need of a key, added to its logit; needed keys alone, on part of the "
        "heads; exp(gamma times need) on the attention, not normalised again; output rows times 1 + gamma times need",
    )
    site: Literal["encoder", "decoder", "both"] = Field(
        "encoder", description="self-attention of the last blocks, cross-attention of a mask decoder's queries, or both"
    )
    blocks: int = Field(2, gt=0, description="last blocks whose attention is led; stage 4 of a MiT-B0 has 2")
    heads: Share = Field(0.5, description="hard only: share of the heads, the first ones")
    share: Share = Field(0.2, description="hard only: share of the keys that count as needed")
    limit: float | None = Field(2.0, gt=0, description="which no absolute value of a gamma reaches (tanh); null: none")
    lr_factor: float = Field(1.0, gt=0, description="learning rate of the gammas relative to the heads'")
    detach: bool = Field(True, description="whether attention's gradient stops at the need map")
    start: Literal["rise", "delay"] = Field(
        "rise", description="strength over a run: grows as the reversal's factor, or 0 for `delay` of the steps, then 1"
    )
    delay: Share = Field(0.1, description="delay only: share of all steps without effect")
    test: bool = Field(True, description="on: attention is led at test time too, at a cost; off: it is the host's")


class Tmt(Settings):
    """The term that the region discriminator brings, its map of need, and attention led by it."""

    weight: float = Field(0.01, ge=0, description="of the region discriminator's term; 0: it does not learn")
    entropy_weight: float = Field(0.0, ge=0, description="of the target's entropy, weighted by need")
    acte: Acte = Acte()
    tma: Tma = Tma()
    teacher_rate: float = Field(
        0.99, ge=0, lt=1, description="uncertainty teacher only: its EMA rate, equal to the host's if it has a teacher"
    )
    teacher_norm: TeacherNorm = Field("batch", description="uncertainty teacher only: what its batch norm reads")

    @model_validator(mode="after")
    def _gates_have_places(self) -> "Tmt":
        if self.tma.kind == "query-gate" and self.tma.site != "encoder":
            raise ValueError("tma.kind query-gate scales rows of patches, not of a decoder's queries; set site encoder")
        if self.acte.uncertainty == "previous" and self.tma.site != "decoder":
            raise ValueError("acte.uncertainty previous reads a mask decoder's prediction; set tma.site decoder")
        return self

    @property
    def acts(self) -> bool:
        """Whether anything is left of it: a term, or attention that is led."""
        return bool(self.weight or self.entropy_weight or self.tma.kind != "none")
