"""The Rebuilder of Masked Feature Modeling: a small transformer that fills hidden cells of an encoder's maps.

Zhou et al., "Masked Feature Modeling Enhances Adaptive Segmentation" (arXiv 2509.13801; v2: "Masked Representation
Modeling for Domain-Adaptive Segmentation", CVPR 2026), written after the design of the module that they released. Only
the last map is embedded; all maps are rebuilt from it. All tokens are processed, and nothing is detached.

Beyond the release: images of any size, as the number of tokens follows the last map's and positions are computed anew;
maps whose stride is no power of two below the tokens' side, or that are more than 8 times finer, which get the nearest
projector and are resized bilinearly.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from xdseg.adaptations.mfm.masks import token_grid
from xdseg.adaptations.mfm.projector import EPSILON, doublings_to, projector
from xdseg.segmenters.contract import MapSpec
from xdseg.settings.mfm import Mfm as Settings

DEVIATION = 0.02  # of the mask token's initial draw
MLP_RATIO = 4


class Rebuilder(nn.Module):
    """Of maps as described; `token` is the side of a token in pixels, at least the last map's stride."""

    def __init__(self, maps: Sequence[MapSpec], settings: Settings, *, token: int) -> None:
        super().__init__()
        self.names = tuple(spec.name for spec in maps)
        self.cells = token / maps[-1].stride  # of the last map along a token's side
        self.width = width = settings.token_width(maps[-1].channels)
        self.embedding = nn.Linear(maps[-1].channels, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        norm, heads = partial(nn.LayerNorm, eps=EPSILON), width // settings.head_dim
        self.blocks = nn.Sequential(
            *(Block(width, heads, mlp_ratio=MLP_RATIO, qkv_bias=True, norm_layer=norm) for _ in range(settings.blocks))
        )
        self.norm = norm(width)
        self.projectors = nn.ModuleList(
            projector(width, spec.channels, doublings=doublings_to(token / spec.stride), norm=settings.out_norm)
            for spec in maps
        )
        nn.init.normal_(self.mask_token, std=DEVIATION)
        self.apply(_initialise)

    def forward(self, maps: Mapping[str, Tensor], keep: Tensor) -> dict[str, Tensor]:
        """Maps (B, C_i, h_i, w_i) and kept tokens (B, h, w) to what every cell would be, at the maps' sizes."""
        states = self.states(maps, keep)
        made = {name: project(states) for name, project in zip(self.names, self.projectors, strict=True)}
        return {name: _resized(value, maps[name]) for name, value in made.items()}

    def states(self, maps: Mapping[str, Tensor], keep: Tensor) -> Tensor:
        """(B, width, h, w): the tokens after the last norm, made of the last map and positions alone."""
        x = self.embedding(maps[self.names[-1]].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, width, h_n, w_n)
        grid = tuple(keep.shape[-2:])
        if tuple(x.shape[-2:]) != grid:
            x = F.interpolate(x, grid, mode="bilinear", align_corners=False)
        tokens = x.flatten(2).transpose(1, 2)  # (B, h w, width)
        tokens = torch.where(keep.flatten(1)[..., None], tokens, self.mask_token.to(tokens.dtype))
        tokens = tokens + positions(grid, self.width, device=tokens.device)
        return self.norm(self.blocks(tokens)).transpose(1, 2).unflatten(2, grid)

    def grid(self, maps: Mapping[str, Tensor]) -> tuple[int, int]:
        """Height and width of the tokens of these maps."""
        return token_grid(maps[self.names[-1]], self.cells)


def positions(grid: tuple[int, int], width: int, *, device: torch.device | str = "cpu") -> Tensor:
    """(h w, width): sines of row and column at width / 4 frequencies from 1 down to near 1/10000, then cosines."""
    return build_sincos2d_pos_embed(list(grid), width, device=device)


def _resized(value: Tensor, like: Tensor) -> Tensor:
    size = tuple(like.shape[-2:])
    if tuple(value.shape[-2:]) == size:
        return value
    return F.interpolate(value, size, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
