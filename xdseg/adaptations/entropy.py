"""Weighted self-information: what each class adds to a pixel's entropy.

Vu et al., CVPR 2019 (ADVENT), section 3.
"""

import math

from torch import Tensor

TINY = 1e-30  # below every probability that counts, so that the logarithm of 0, and its gradient, are finite


def self_information(probabilities: Tensor) -> Tensor:
    """-p log2 p / log2 K of probabilities (B, K, H, W), K at least 2; sums over the classes to an entropy in [0, 1].

    A probability of 0 gives exactly 0.
    """
    return -probabilities * probabilities.clamp(min=TINY).log2() / math.log2(probabilities.shape[1])
