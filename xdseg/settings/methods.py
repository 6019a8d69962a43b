"""A row of the leaderboard: which network, what changes in its training, and what it is compared with."""

from typing import Any, Literal

from pydantic import Field

from xdseg.settings.base import Settings

Setting = Literal["source", "uda", "finetune", "oracle"]


class Method(Settings):
    """One method. `training` and `augmentation` hold what differs from the protocol's."""

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


class Protocol(Settings):
    """What all methods of a grid share: optimisation, augmentation, inference and scoring."""

    training: dict[str, Any] = Field(description="see xdseg.settings.training.Training")
    augmentation: dict[str, Any] = Field(description="see xdseg.settings.training.Augmentation")
    inference: dict[str, Any] = Field({}, description="see xdseg.settings.evaluation.Inference")
    scoring: dict[str, Any] = Field({}, description="see xdseg.settings.evaluation.Scoring")
    train_split: str = "train"
    eval_split: str = "val"
    note: str = Field("", description="what a reader of the table must know")


class Grid(Settings):
    """Which cells exist: methods x pairs x seeds of one suite under one protocol."""

    suite: str
    pairs: Literal["all"] | tuple[str, ...] = Field("all", description="`all`, or a list of `source->target`")
    methods: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    protocol: str
    board: str | None = Field(None, description="folder in reports/; default: the suite's name")
