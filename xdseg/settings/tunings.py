"""Settings of how a pre-trained vision transformer is tuned: frozen, in full, or by a few parameters beside it.

Defaults are those that the published numbers were made with; where paper and code differ, the code's.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from xdseg.settings.base import Settings

Linear = Literal["q", "k", "v", "proj", "fc1", "fc2"]
"""A linear layer of a block. Of a gated feed-forward network both halves are fc1: the gate's and the value's."""

SIX: tuple[Linear, ...] = ("q", "k", "v", "proj", "fc1", "fc2")
QUERIES_AND_VALUES: tuple[Linear, ...] = ("q", "v")


def _rate(factor: float) -> float:
    return Field(factor, gt=0, description="learning rate of the encoder and of what is beside it, times `lr`")


class Frozen(Settings):
    """Nothing of the encoder is trained; it stays as at test time."""

    kind: Literal["frozen"]


class Full(Settings):
    """Everything of the encoder is trained."""

    kind: Literal["full"]
    lr_factor: float = _rate(0.1)


class _Beside(Settings):
    """What tunings share that put matrices of low rank beside linear layers."""

    rank: int = Field(8, gt=0)
    targets: tuple[Linear, ...] = Field(QUERIES_AND_VALUES, min_length=1, description="linear layers that are tuned")
    first_block: int = Field(0, ge=0, description="blocks before it are left as they are")
    lr_factor: float = _rate(1.0)

    @field_validator("targets")
    @classmethod
    def _in_their_order(cls, targets: tuple[Linear, ...]) -> tuple[Linear, ...]:
        """Another order is no other tuning, and has no fingerprint of its own."""
        return tuple(name for name in SIX if name in targets)


class LoRA(_Beside):
    """Low-rank adaptation (Hu et al., ICLR 2022)."""

    kind: Literal["lora"]
    alpha: float = Field(8.0, gt=0, description="the change counts alpha / rank times")


class DoRA(LoRA):
    """Weight-decomposed low-rank adaptation (Liu et al., ICML 2024)."""

    kind: Literal["dora"]
    norm_gradient: bool = Field(
        False, description="whether gradients pass through the norm of the changed weight; published: a constant"
    )


class Rein(Settings):
    """Tokens that refine the patches after each block (Wei et al., CVPR 2024)."""

    kind: Literal["rein"]
    tokens: int = Field(100, gt=1, description="of a block; as many queries if they are linked. The first is a sink")
    rank: int = Field(16, gt=0, description="of a block's tokens, as a matrix")
    scale: float = Field(1e-3, description="first value of the one factor on all refinements")
    linked: bool = Field(True, description="whether the tokens make the decoder's queries, content and positions")
    decay_tokens: bool = Field(False, description="whether weight decay reaches the tokens")
    lr_factor: float = _rate(1.0)


class SoMA(_Beside):
    """Minor singular components of the weights (Yun et al., CVPR 2025)."""

    kind: Literal["soma"]
    rank: int = Field(16, gt=0, description="smallest singular triplets of a weight that are trained")
    targets: tuple[Linear, ...] = Field(SIX, min_length=1, description="linear layers that are tuned")
    first_block: int = Field(8, ge=0, description="blocks before it are left as they are; published for 24 blocks")
    biases: bool = Field(True, description="whether the biases of tuned layers are trained, as in the released code")
    weight_decay_end: float | None = Field(
        1e-5, ge=0, description="what all weight decay of the network falls to along a cosine; null: it stays"
    )
    lr_factor: float = _rate(0.5)


Tuning = Annotated[Frozen | Full | LoRA | DoRA | Rein | SoMA, Field(discriminator="kind")]
