"""Random draws of one stream, which depend on the stream's name only."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
BLOCK = 1024  # numbers per call of the generator; single calls would take a tenth of a scene's time


class Dice:
    """Uniform draws from a NumPy generator that is seeded by the SHA-256 of its name.

    Only uniform numbers and integers are drawn: they are exact arithmetic and hence equal on every machine.
    """

    def __init__(self, *name: str | int) -> None:
        digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
        self.generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
        self._block: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self.generator.random(BLOCK).tolist()
        return self._block.pop()

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return options[int(self.unit() * len(options))]

    def count(self, mean: float) -> int:
        """A whole number with this mean, at most one away from it."""
        return int(mean + self.unit())

    def texture(self, *shape: int) -> np.ndarray:
        """Array of independent values 0 to 255, uint8."""
        return self.generator.integers(0, 256, shape, dtype=np.uint8)
