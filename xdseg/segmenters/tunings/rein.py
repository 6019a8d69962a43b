"""Rein: trained tokens refine the patches after each block of a frozen encoder, and make the decoder's queries.

Wei et al., "Stronger, Fewer, & Superior", CVPR 2024; with tokens of low rank and links to the queries, as released.
Class and register tokens pass untouched. The first token takes part in the softmax alone: attention to it adds
nothing. The two linear layers and the factor are shared by all blocks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from xdseg.settings.tunings import Rein as Settings

CHANNELS = 3  # of an image
POOLED = 3  # largest, mean, and last over the blocks


class Queries(NamedTuple):
    """What a decoder begins with, (Q, C) both."""

    content: Tensor
    positions: Tensor


class Rein(nn.Module):
    """Tokens of all blocks, and what is made of them."""

    def __init__(
        self, settings: Settings, *, blocks: int, width: int, patch: int, query_width: int | None = None
    ) -> None:
        super().__init__()
        rank = settings.rank
        self.token_weights = nn.Parameter(torch.empty(blocks, settings.tokens, rank))
        self.token_basis = nn.Parameter(torch.empty(blocks, rank, width))
        bound = (6 / (CHANNELS * patch**2 + (width * rank) ** 0.5)) ** 0.5
        for parameter in (self.token_weights, self.token_basis):
            nn.init.uniform_(parameter, -bound, bound)
        self.scale = nn.Parameter(torch.tensor(settings.scale))
        self.of_tokens, self.of_patches = nn.Linear(width, width), nn.Linear(width, width)
        self.link = QueryLink(width, query_width) if settings.linked and query_width else None

    def tokens(self, block: int | slice) -> Tensor:
        """(..., m, C): those of a block, or of several."""
        return self.token_weights[block] @ self.token_basis[block]

    def forward(self, block: int, patches: Tensor) -> Tensor:
        """Refined patches (B, N, C)."""
        tokens = self.tokens(block)
        attention = (patches @ tokens.T * tokens.shape[-1] ** -0.5).softmax(-1)[..., 1:]  # (B, N, m - 1)
        return patches + self.scale * self.of_patches(attention @ self.of_tokens(tokens[1:]) + patches)

    def queries(self) -> Queries | None:
        """As many as tokens of a block; None if they are not linked."""
        return self.link and self.link(self.tokens(slice(None)))


class QueryLink(nn.Module):
    """From tokens of all blocks to queries. `content` is counted with the decoder, not among the published 2.99 M."""

    def __init__(self, width: int, query_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, query_width)
        self.merge = nn.Linear(POOLED * query_width, query_width)
        self.content = nn.Linear(query_width, query_width)

    def forward(self, tokens: Tensor) -> Queries:
        """Of (blocks, m, C)."""
        projected = self.project(tokens)
        pooled = torch.stack([projected.amax(0), projected.mean(0), projected[-1]], dim=-1)  # (m, query width, 3)
        positions = self.merge(pooled.flatten(-2))
        return Queries(self.content(positions), positions)
