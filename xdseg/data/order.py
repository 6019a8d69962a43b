"""Which images a step sees: each once per epoch, unless something else is asked for (`xdseg.data.rare_classes`)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch

from xdseg.data.crops import Wanted
from xdseg.training.job import Split
from xdseg.training.streams import generator


@dataclass(frozen=True)
class Pick:
    """One image of a batch, and what its crop should show."""

    split: Split
    number: int  # of the image in its split
    wanted: Wanted | None = None


class Order(Protocol):
    """Draws the images of each step from the seed alone."""

    role: str  # source or target

    def picks(self, step: int, batch: int) -> list[Pick]:
        """The images of a step's batch, in order."""


@lru_cache(maxsize=64)
def permutation(seed: int, name: str, epoch: int, length: int) -> list[int]:
    """The order of one epoch, kept because each of its steps asks for it."""
    return torch.randperm(length, generator=generator(seed, name, epoch)).tolist()


@dataclass(frozen=True)
class Epochs:
    """Draws images in epochs, each image once per epoch; several domains take turns, so each has an equal share."""

    seed: int
    role: str
    splits: tuple[Split, ...]

    def pick(self, draw: int) -> tuple[Split, int]:
        """Split and image of the n-th draw of the run."""
        turn, number = draw % len(self.splits), draw // len(self.splits)
        split = self.splits[turn]
        epoch, place = divmod(number, len(split.images))
        return split, permutation(self.seed, f"order/{self.role}/{split.domain}", epoch, len(split.images))[place]

    def picks(self, step: int, batch: int) -> list[Pick]:
        """The next images of the epoch."""
        return [Pick(*self.pick(step * batch + place)) for place in range(batch)]
