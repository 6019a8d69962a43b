"""SoMA: the components of a weight with the smallest singular values are trained, the rest of it is frozen.

Yun et al., CVPR 2025 (arXiv 2412.04077). W = U S V^T; of the r smallest triplets A = sqrt(S) V^T and B = U sqrt(S) are
trained beside W - BA. Queries, keys and values are weights of their own. The released code also trains the biases of
tuned layers, which the published 4.72 million leave out; its average of weights over the run is not taken over.
"""

from collections.abc import Sequence

import torch
from torch import nn

from xdseg.segmenters.tunings.low_rank import LowRank
from xdseg.settings.tunings import SoMA as Settings


class SoMA(LowRank):
    """`down` is A, `up` is B; both are 0 and the weight whole until `start` splits it."""

    def __init__(self, plain: nn.Linear, settings: Settings, *, parts: int, tuned: Sequence[int]) -> None:
        super().__init__(plain, rank=settings.rank, parts=parts, tuned=tuned)

    @torch.no_grad()
    def start(self) -> None:
        """Split the weight."""
        rows, rank = self.rows(), self.up.shape[-1]
        u, s, vt = torch.linalg.svd(rows, full_matrices=False)  # s falls
        root = s[:, -rank:].sqrt()  # (n, rank)
        self.up.copy_(u[..., -rank:] * root[:, None])
        self.down.copy_(root[..., None] * vt[:, -rank:])
        self.set_rows(rows - self.up @ self.down)
