"""Bootstrap of a target's images, by recording: images of one drive are alike, so they are drawn together.

Every method of a pair sees the same drawn recordings, whoever computes it and when: the draws come from the names of
suite, source and target alone. A difference of two methods' replicates is therefore a replicate of their difference.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xdseg.canonical import fingerprint

REPLICATES = 2000
SEED_DIGITS = 16  # of the names' fingerprint, hexadecimal: 64 bits


def recordings(names: Sequence[str], pattern: str | None) -> tuple[str, ...]:
    """The recording of each image: the first group of `pattern`, else the image's own name."""
    found = [re.search(pattern, name) if pattern else None for name in names]
    return tuple(match[1] if match else name for name, match in zip(names, found, strict=True))


@dataclass(frozen=True)
class Resampling:
    """The draws of one pair: equal `names` and recordings give equal draws."""

    names: tuple[str, ...]  # suite, source, target
    recordings: tuple[str, ...]  # one per image
    number: int = REPLICATES

    @property
    def clusters(self) -> int:
        """Recordings, each counted once."""
        return len(set(self.recordings))

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each recording, in order of name, is drawn: (number, clusters), float64; rows sum to clusters."""
        generator = np.random.default_rng(int(fingerprint(["bootstrap", *self.names])[:SEED_DIGITS], 16))
        size = self.clusters
        drawn = generator.integers(0, size, (self.number, size)) + size * np.arange(self.number)[:, None]
        return np.bincount(drawn.ravel(), minlength=self.number * size).reshape(self.number, size).astype(float)

    def totals(self, per_image: np.ndarray) -> np.ndarray:
        """Counts of each replicate, (number, K, C), from those of the images, (N, K, C).

        Whole numbers up to 2^53, which float64 holds exactly. Raises ValueError unless there is a count per recording.
        """
        if len(per_image) != len(self.recordings):
            raise ValueError(f"{len(per_image)} images, but {len(self.recordings)} recordings")
        codes = np.unique(self.recordings, return_inverse=True)[1]
        sums = np.zeros((self.clusters, *per_image.shape[1:]))
        np.add.at(sums, codes, per_image)
        return (self.weights @ sums.reshape(len(sums), -1)).reshape(self.number, *per_image.shape[1:])
