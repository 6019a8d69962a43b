"""LoRA: beside a frozen weight W, the change (alpha / r) B A of rank r (Hu et al., ICLR 2022, section 4.1).

A is drawn as PyTorch draws a linear layer (as in the released code; the paper: from a Gaussian) and B is 0, so that
training begins with the frozen network. Without dropout. Rank 8 on queries and values, as Rein compares itself with it.
"""

import math
from collections.abc import Sequence

from torch import nn

from xdseg.segmenters.tunings.low_rank import LowRank
from xdseg.settings.tunings import LoRA as Settings

SLOPE = math.sqrt(5)  # of Kaiming's uniform draws, as in PyTorch's linear layers


class LoRA(LowRank):
    """`down` is A, `up` is B."""

    def __init__(self, plain: nn.Linear, settings: Settings, *, parts: int, tuned: Sequence[int]) -> None:
        rank = settings.rank
        super().__init__(plain, rank=rank, parts=parts, tuned=tuned, scale=settings.alpha / rank)
        for matrix in self.down:
            nn.init.kaiming_uniform_(matrix, a=SLOPE)
