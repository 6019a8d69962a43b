"""TMA: what a standardised map of need does to one attention. Reconstruction: the published equation is not known.

`bias` adds gamma_h N(k) to the logits of key k in head h; to multiply the attention by exp(gamma_h N(k)) and normalise
it again is the same. `mult-raw` multiplies and does not normalise, as TVT (Yang et al., WACV 2023) does in its class
token's row: here in all rows, as the values are multiplied. `query-gate` multiplies output rows. `hard` shows part of
the heads the keys of highest need alone; in a decoder whose attention has masks, those beside the mask.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.contract import Site, Size
from xdseg.segmenters.steering import Steering
from xdseg.settings.tmt import Tma

HARD_FROM = 0.5  # strength from which `hard` acts: with `rise` after 11% of the steps
LEARNT = ("bias", "mult-raw", "query-gate")


def at_grid(need: Tensor, grid: Size) -> Tensor:
    """A map (B, h, w) to (B, keys): means over the area of each cell of a grid."""
    if tuple(need.shape[-2:]) != tuple(grid):
        need = F.interpolate(need[:, None], grid, mode="area")[:, 0]
    return need.flatten(1)


def highest(values: Tensor, share: float) -> Tensor:
    """(B, keys) bool: the share of highest values, one at least; all where all are equal."""
    many = max(1, round(share * values.shape[1]))
    return values >= values.topk(many, dim=1).values[:, -1:]


class Attention(nn.Module):
    """The learnt part: one gamma per head of each site, 0 at first; of query-gate one per site."""

    def __init__(self, settings: Tma, sites: list[Site]) -> None:
        super().__init__()
        self.settings = settings
        gammas = {}
        if settings.kind in LEARNT:
            many = {site.name: 1 if settings.kind == "query-gate" else site.heads for site in sites}
            gammas = {key_of(name): nn.Parameter(torch.zeros(count)) for name, count in many.items()}
        self.gammas = nn.ParameterDict(gammas)

    def rests(self, site: Site, strength: float) -> bool:
        """Whether a site is left alone: before the start; and, where nobody learns, at a gamma of 0."""
        if self.settings.kind == "none" or strength == 0:
            return True
        if self.settings.kind == "hard":
            return strength < HARD_FROM
        return not torch.is_grad_enabled() and not self.gammas[key_of(site.name)].any()

    def forward(self, site: Site, need: Tensor, keys: Size, queries: Size, strength: float) -> Tensor | Steering:
        """What leads the site by a standardised need (B, h, w); `queries` is the grid of a self-attention's rows."""
        kind = self.settings.kind
        if kind == "hard":
            return self.hard(site, at_grid(need, keys))
        gamma = strength * self.gamma(site)  # (heads) or (1)
        if kind == "query-gate":
            return Steering(gate=1 + gamma * at_grid(need, queries)[..., None])
        raised = gamma.view(1, -1, 1, 1) * at_grid(need, keys)[:, None, None]  # (B, heads, 1, keys)
        return raised if kind == "bias" else Steering(values=raised.exp().transpose(-1, -2))

    def gamma(self, site: Site) -> Tensor:
        """Of each head of a site, within the limit: it is approached smoothly, as a cut would end its gradient."""
        return self.within_limit(self.gammas[key_of(site.name)])

    def within_limit(self, gamma: Tensor) -> Tensor:
        """What acts of a parameter."""
        limit = self.settings.limit
        return gamma if limit is None else limit * torch.tanh(gamma / limit)

    @torch.no_grad()
    def largest(self) -> dict[str, float]:
        """`gamma`: the largest absolute value that acts; nothing where none is learnt."""
        acting = [float(self.within_limit(gamma).abs().max()) for gamma in self.gammas.values()]
        return {"gamma": max(acting)} if acting else {}

    def hard(self, site: Site, need: Tensor) -> Tensor | Steering:
        """Of (B, keys); a self-attention has no mask, so there what is not needed is cut off."""
        chosen = torch.arange(site.heads, device=need.device) < round(self.settings.heads * site.heads)
        needed, chosen = highest(need, self.settings.share)[:, None, None], chosen.view(1, -1, 1, 1)
        if site.kind == "cross":
            return Steering(opened=needed & chosen)
        return torch.zeros(need.shape, device=need.device)[:, None, None].masked_fill(~needed & chosen, -torch.inf)


def key_of(name: str) -> str:
    """A name without dots, which names of modules and parameters may not hold."""
    return name.replace(".", "-")
