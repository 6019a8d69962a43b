"""ViT-Adapter (Chen et al., ICLR 2023): maps of four scales beside a plain transformer, which exchange with it.

Before each quarter of the blocks an injector adds to the patch tokens what they look up in the maps; after it an
extractor adds to the maps what they look up in the patch tokens. The last quarter has two more extractors. Sizes and
rates are those of ViT-Adapter-L; the finest map takes no part in the exchange. Prefix tokens are left out of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.contract import Size
from xdseg.segmenters.ladder.deformable_attention import DeformableAttention, centres
from xdseg.segmenters.ladder.sequences import flat, size_of, unflat
from xdseg.segmenters.ladder.spatial_prior import SpatialPrior
from xdseg.segmenters.vit import Tokens
from xdseg.settings.ladder import ViTMask2Former as Settings

INTERACTIONS = 4  # one per map, as each map takes over the patch tokens after one of them
EXCHANGED = 3  # maps that take part: all but the finest
EXTRACTORS_AT_THE_END = 3
EPSILON = 1e-6  # of the layer norms, as in the transformer's own


class Lookup(nn.Module):
    """Norms and deformable attention of one sequence to another."""

    def __init__(self, width: int, *, heads: int, levels: int, settings: Settings) -> None:
        super().__init__()
        self.query_norm, self.norm = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
        inner = round(width * settings.adapter_ratio)
        points = settings.adapter_points
        self.attention = DeformableAttention(width, heads=heads, levels=levels, points=points, inner=inner)

    def forward(self, queries: Tensor, places: Tensor, cells: Tensor, sizes: Sequence[Size]) -> Tensor:
        """(B, Q, width), as of the attention."""
        return self.attention(self.query_norm(queries), places, self.norm(cells), sizes)


class Injector(Lookup):
    """From the maps into the patch tokens, scaled channel by channel; at first it adds nothing."""

    def __init__(self, width: int, *, heads: int, settings: Settings) -> None:
        super().__init__(width, heads=heads, levels=EXCHANGED, settings=settings)
        self.scale = nn.Parameter(torch.zeros(width))


class Extractor(Lookup):
    """From the patch tokens into the maps, then a narrow feed-forward network with a 3x3 convolution per map."""

    def __init__(self, width: int, *, heads: int, settings: Settings) -> None:
        super().__init__(width, heads=heads, levels=1, settings=settings)
        hidden = round(width * settings.adapter_feedforward)
        self.feedforward_norm = nn.LayerNorm(width, eps=EPSILON)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.mix = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)

    def mixed(self, cells: Tensor, sizes: Sequence[Size]) -> Tensor:
        """What the feed-forward network adds to cells (B, N, width) of maps of these sizes."""
        hidden = self.widen(self.feedforward_norm(cells))
        return self.narrow(F.gelu(flat([self.mix(x) for x in unflat(hidden, sizes)])))


class Adapter(nn.Module):
    """Spatial prior, exchange, and the four maps that come of it."""

    def __init__(self, width: int, *, heads: int, settings: Settings) -> None:
        super().__init__()
        self.prior = SpatialPrior(width, channels=settings.adapter_stem)
        self.levels = nn.Parameter(torch.randn(EXCHANGED, width))
        shape = {"heads": heads, "settings": settings}
        self.injectors = nn.ModuleList(Injector(width, **shape) for _ in range(INTERACTIONS))
        counts = (1,) * (INTERACTIONS - 1) + (EXTRACTORS_AT_THE_END,)
        self.extractors = nn.ModuleList(nn.ModuleList(Extractor(width, **shape) for _ in range(n)) for n in counts)
        self.upsample = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(EXCHANGED + 1))
        self.apply(_initialise)

    def forward(self, images: Tensor, tokens: Tokens, quarters: Sequence[Callable[[Tokens], Tokens]]) -> list[Tensor]:
        """Four maps (B, width, h, w), finest first, of images whose sides are multiples of the coarsest stride.

        `tokens` are those of the images that enter the first block; `quarters` are the blocks in four parts.
        """
        finest, *maps = self.prior(images)
        sizes = [size_of(x) for x in maps]
        cells = flat([x + level.view(-1, 1, 1) for x, level in zip(maps, self.levels, strict=True)])
        at_patches, at_cells = centres([tokens.grid], cells.device), centres(sizes, cells.device)
        seen = []
        for injector, blocks, extractors in zip(self.injectors, quarters, self.extractors, strict=True):
            prefix, patches = tokens.x[:, : tokens.before], tokens.x[:, tokens.before :]
            patches = patches + injector.scale * injector(patches, at_patches, cells, sizes)
            tokens = blocks(replace(tokens, x=torch.cat((prefix, patches), dim=1)))
            for extractor in extractors:
                cells = cells + extractor(cells, at_cells, tokens.x[:, tokens.before :], [tokens.grid])
                cells = cells + extractor.mixed(cells, sizes)
            seen.append(tokens.patches)
        maps = unflat(cells, sizes)
        return self.merged([self.upsample(maps[0]) + finest, *maps], seen)

    def merged(self, maps: Sequence[Tensor], seen: Sequence[Tensor]) -> list[Tensor]:
        """The maps with the patch tokens after each quarter added, finest first, normalised."""
        found = []
        for norm, x, tokens in zip(self.norms, maps, seen, strict=True):
            resized = F.interpolate(tokens, size_of(x), mode="bilinear", align_corners=False)
            found.append(norm(x + resized))
        return found


def _initialise(module: nn.Module) -> None:
    """Linear layers as in transformers, convolutions as in residual networks; deformable attention keeps its own."""
    if isinstance(module, Extractor):
        for layer in (module.widen, module.narrow):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
