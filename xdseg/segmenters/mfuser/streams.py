"""Two encoders side by side, block by block, with a fuser after each pair: the tokens of both go on with what it adds.

What the neck reads is taken behind the fuser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.contract import Steer
from xdseg.segmenters.foundation.towers import ClipTower, TimmTower
from xdseg.segmenters.vit import Tokens

SHARES = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(1))  # of the blocks, behind which maps are taken
SITE = "vfm.blocks"

Tower = TimmTower | ClipTower


@dataclass(frozen=True)
class Passed:
    """What both encoders end in, and the maps that were taken on the way, (B, vfm + vlm, h, w) each."""

    vfm: Tokens
    vlm: Tokens
    maps: list[Tensor]


def tapped(blocks: int, taps: Sequence[int] | None) -> tuple[int, ...]:
    """Numbers of the blocks that the neck reads. Raises BadInput for one that is not there."""
    if taps is None:
        return tuple(max(round(blocks * share) - 1, 0) for share in SHARES)
    if max(taps) >= blocks or list(taps) != sorted(taps):
        raise BadInput(f"mfuser.taps: {list(taps)}, of encoders of {blocks} blocks; four of 0 to {blocks - 1}, rising")
    return tuple(taps)


def check_pair(vfm: TimmTower, vlm: Tower) -> int:
    """Number of pairs of blocks. Raises BadInput for encoders of different depth."""
    depths = len(vfm.blocks), len(vlm.blocks)
    if depths[0] != depths[1]:
        raise BadInput(
            f"mfuser.vfm.encoder: {depths[0]} blocks, but {depths[1]} of vlm.model; take a pair of one depth"
        )
    return depths[0]


def run_pair(
    towers: tuple[TimmTower, Tower],
    tokens: tuple[Tokens, Tokens],
    fusers: Sequence[nn.Module],
    *,
    taps: Sequence[int],
    steer: Steer | None,
) -> Passed:
    """All blocks; without fusers each encoder by itself. A steer reaches the vision model's attention."""
    (vfm_tower, vlm_tower), (vfm, vlm), maps = towers, tokens, {}
    for number in range(len(vfm_tower.blocks)):
        vlm = vlm_tower.run(number, vlm)
        vfm = vfm_tower.run(number, vfm, vit.patch_bias(f"{SITE}.{number}", vfm, steer))
        if fusers:
            to_vfm, to_vlm = fusers[number](vfm, vlm)
            vfm, vlm = Tokens(vfm.x + to_vfm, vfm.grid, vfm.rope), Tokens(vlm.x + to_vlm, vlm.grid, vlm.rope)
        if number in taps:
            maps[number] = torch.cat([vfm.patches, vlm.patches], dim=1)
    return Passed(vfm, vlm, [maps[number] for number in taps])
