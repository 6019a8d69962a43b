"""Image encoders side by side, block by block, with a fuser after each block: the tokens go on with what it adds.

One encoder alone is a stream too. What the neck reads is taken behind the fuser.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.contract import MapSpec, Site, Steer
from xdseg.segmenters.foundation.towers import ClipTower, TimmTower
from xdseg.segmenters.vit import Tokens

SHARES = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(1))  # of the blocks, behind which maps are taken

Tower = TimmTower | ClipTower
Towers = Mapping[str, Tower]  # by the name of the stream, in the order of the neck's channels


@dataclass(frozen=True)
class Passed:
    """What the streams end in, by name, and the maps that were taken on the way, (B, sum of widths, h, w) each."""

    ends: dict[str, Tokens]
    maps: list[Tensor]


def tapped(blocks: int, taps: Sequence[int] | None, *, where: str = "mfuser") -> tuple[int, ...]:
    """Numbers of the blocks that the neck reads. Raises BadInput for one that is not there."""
    if taps is None:
        return tuple(max(round(blocks * share) - 1, 0) for share in SHARES)
    if max(taps) >= blocks or list(taps) != sorted(taps):
        raise BadInput(f"{where}.taps: {list(taps)}, of encoders of {blocks} blocks; four of 0 to {blocks - 1}, rising")
    return tuple(taps)


def depth(towers: Towers) -> int:
    """Number of blocks, which is one for all. Raises BadInput for encoders of different depth."""
    depths = [len(tower.blocks) for tower in towers.values()]
    if len(set(depths)) > 1:
        raise BadInput(
            f"mfuser.vfm.encoder: {depths[0]} blocks, but {depths[1]} of vlm.model; take a pair of one depth"
        )
    return depths[0]


def sites(towers: Towers) -> list[Site]:
    """Attention that can be steered: that of the first stream's blocks, where a steer sees the patches that enter."""
    name, tower = next(iter(towers.items()))
    entering = MapSpec(vit.INPUT, tower.width, tower.patch)
    return [Site(_site(name, number), tower.heads(number), reads=entering) for number in range(len(tower.blocks))]


def run(
    towers: Towers, tokens: Sequence[Tokens], fusers: Sequence[nn.Module], *, taps: Sequence[int], steer: Steer | None
) -> Passed:
    """All blocks; without fusers each encoder by itself. A steer reaches the first stream's attention."""
    steered, maps = next(iter(towers)), {}
    for number in range(depth(towers)):
        given = {steered: vit.patch_bias(_site(steered, number), tokens[0], steer)}
        tokens = [
            tower.run(number, x, given.get(name)) for (name, tower), x in zip(towers.items(), tokens, strict=True)
        ]
        if fusers:
            added = fusers[number](*tokens)
            tokens = [Tokens(x.x + more, x.grid, x.rope) for x, more in zip(tokens, added, strict=True)]
        if number in taps:
            maps[number] = torch.cat([x.patches for x in tokens], dim=1)
    return Passed(dict(zip(towers, tokens, strict=True)), [maps[number] for number in taps])


def _site(stream: str, number: int) -> str:
    return f"{stream}.blocks.{number}"
