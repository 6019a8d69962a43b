"""Settings of `adversarial`: AdaptSegNet by default, AdvEnt with `input: self-information`."""

from typing import Annotated, Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.levels import LevelWeights

Beta = Annotated[float, Field(ge=0, lt=1)]


class Discriminator(Settings):
    """A discriminator and its Adam; the learning rate follows the run's schedule."""

    channels: int = Field(
        64, gt=0, description="of the first convolution; the next three have 2, 4 and 8 times as many"
    )
    lr: float = Field(1e-4, gt=0, description="peak learning rate; training.head_lr_factor does not apply")
    betas: tuple[Beta, Beta] = Field((0.9, 0.99), description="of Adam")
    weight_decay: float = Field(0.0, ge=0, description="L2, of all its parameters")


class Adversarial(LevelWeights):
    """Adversarial alignment of predictions; every default is AdaptSegNet's paper's.

    Its README asks for weights of 5e-4 and 5e-5 from PyTorch 0.4 on. Least squares were published with one level and
    `weight: 0.01`.
    """

    input: Literal["probabilities", "self-information"] = Field(
        "probabilities", description="what discriminators see: class probabilities (AdaptSegNet), or -p log p (AdvEnt)"
    )
    objective: Literal["vanilla", "least-squares"] = Field(
        "vanilla", description="cross entropy of source or target, or squared distance to its label (LSGAN)"
    )
    discriminator: Discriminator = Discriminator()
