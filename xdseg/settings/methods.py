"""A row of the leaderboard: which network, what changes in its training, and what it is compared with."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.sizes import ImageSize

Setting = Literal["source", "uda", "finetune", "oracle"]
ROLES = ("host", "floor", "ceiling", "start")  # in which a method names another one


class Method(Settings):
    """One method. `training` and `augmentation` hold what differs from the protocol's."""

    like: str | None = Field(None, description="row that this one takes over, but for what it says itself")
    setting: Setting = Field(
        description="what training may see: source, uda (+ target images), finetune (+ their labels), oracle"
    )
    segmenter: str = Field(description="a name from segmenters:")
    adaptations: tuple[str, ...] = Field((), description="names from adaptations:, in order")
    training: dict[str, Any] = Field({}, description="what differs from the protocol's training")
    augmentation: dict[str, Any] = Field({}, description="what differs from the protocol's augmentation")
    start: str | None = Field(None, description="method whose run on the same source this one starts from")
    host: str | None = Field(None, description="row that gains are computed against")
    floor: str | None = Field(None, description="row without adaptation, same segmenter")
    ceiling: str | None = Field(None, description="row trained on the target's labels, same segmenter")
    note: str = Field("", description="what a reader of the table must know")


class DomainRules(Settings):
    """What a protocol says of one domain, where that differs from the rest."""

    train_split: str | None = Field(None, description="what trains where the domain is a source, or its own ceiling")
    adapt_split: str | None = Field(None, description="whose images, without labels, adaptation to the domain sees")
    eval_split: str | None = Field(None, description="what the domain is tested on")
    resize: ImageSize | None = Field(
        None, description="size of its training images before scale and crop, as inference.size"
    )
    inference: dict[str, Any] = Field({}, description="what differs from the protocol's inference")
    scoring: dict[str, Any] = Field({}, description="what differs from the protocol's scoring")


class Protocol(Settings):
    """What all methods of a grid share: optimisation, augmentation, inference and scoring."""

    training: dict[str, Any] = Field(description="see xdseg.settings.training.Training")
    augmentation: dict[str, Any] = Field(description="see xdseg.settings.training.Augmentation")
    inference: dict[str, Any] = Field({}, description="see xdseg.settings.evaluation.Inference")
    scoring: dict[str, Any] = Field({}, description="see xdseg.settings.evaluation.Scoring")
    train_split: str = "train"
    adapt_split: str | None = Field(
        None, description="split of target images that adaptation sees; default train_split"
    )
    eval_split: str = "val"
    domains: dict[str, DomainRules] = Field({}, description="per domain: what differs")
    note: str = Field("", description="what a reader of the table must know")

    @model_validator(mode="after")
    def _tested_on_other_images(self) -> "Protocol":
        if self.train_split == self.eval_split:
            raise ValueError("train_split and eval_split are one; a run would be tested on what it learnt")
        return self

    def rules(self, domain: str | None) -> DomainRules:
        """What is said of one domain."""
        return self.domains.get(domain or "", DomainRules())

    def split(self, use: Literal["train", "adapt", "eval"], domain: str | None) -> str:
        """Name of the split of a domain that is trained on, adapted to or tested on."""
        rules = self.rules(domain)
        if use == "adapt":
            return rules.adapt_split or rules.train_split or self.adapt_split or self.train_split
        return getattr(rules, f"{use}_split") or getattr(self, f"{use}_split")


def _all_or_a_list(pairs: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
    if isinstance(pairs, str) and pairs != "all":
        raise ValueError("expected `all` or a list such as [a->b, b->a]")
    return pairs


Pairs = Annotated[tuple[str, ...] | str, AfterValidator(_all_or_a_list)]
Seed = Annotated[int, Field(ge=0)]


class Block(Settings):
    """A part of the grid; what it leaves out is the grid's."""

    pairs: Pairs | None = Field(None, description="`all`, or a list of `source->target`")
    methods: tuple[str, ...]
    seeds: tuple[Seed, ...] | None = None


class Grid(Settings):
    """Which cells exist: methods x pairs x seeds of one suite under one protocol."""

    suite: str
    pairs: Pairs = Field("all", description="`all`, or a list of `source->target`")
    methods: tuple[str, ...]
    seeds: tuple[Seed, ...] = (0,)
    also: tuple[Block, ...] = Field((), description="further cells: more seeds of some methods, more pairs of others")
    protocol: str
    board: str | None = Field(None, description="folder in reports/; default: the suite's name")

    @property
    def every_method(self) -> tuple[str, ...]:
        """Methods of all parts, each once, in their order."""
        return tuple(dict.fromkeys([*self.methods, *(name for part in self.also for name in part.methods)]))
