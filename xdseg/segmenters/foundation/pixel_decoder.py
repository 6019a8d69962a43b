"""tqdm's pixel decoder (Pak et al., ECCV 2024): Mask2Former's, in whose layers pixels also attend to class names.

Class names have a learnt position each, which their keys alone hold.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.contract import Size
from xdseg.segmenters.ladder.attention import Attention
from xdseg.segmenters.ladder.pixel_decoder import PixelDecoder, PixelLayer
from xdseg.settings.mask2former import Mask2Former as Settings


class TextPixelDecoder(PixelDecoder):
    """8.93 million parameters at MFuser's sizes: width 2048, text of 768, 19 classes."""

    def __init__(self, width: int, settings: Settings, *, levels: int, text: int, classes: int) -> None:
        super().__init__(width, settings, levels=levels)
        self.text = nn.Linear(text, settings.dim)
        self.text_positions = nn.Parameter(torch.randn(classes, settings.dim))

    def layer(self, settings: Settings, *, levels: int) -> "TextPixelLayer":
        """One of its layers."""
        return TextPixelLayer(settings, levels=levels)

    def forward(self, maps: Sequence[Tensor], text: Tensor) -> tuple[list[Tensor], Tensor]:
        """As Mask2Former's, with embeddings of the class names (B, K, text)."""
        values = self.text(text)
        return super().forward(maps, values + self.text_positions, values)


class TextPixelLayer(PixelLayer):
    """Deformable attention, attention to the class names, feed-forward network; norms come after."""

    def __init__(self, settings: Settings, *, levels: int) -> None:
        super().__init__(settings, levels=levels)
        self.text_attention = Attention(settings.dim, heads=settings.heads)
        self.text_norm = nn.LayerNorm(settings.dim)

    def forward(
        self,
        cells: Tensor,
        positions: Tensor,
        places: Tensor,
        sizes: Sequence[Size],
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Cells (B, N, dim) with their positions (N, dim) and places (N, 2); keys and values (B, K, dim) are names."""
        cells = self.attended(cells, positions, places, sizes)
        return self.fed(self.text_norm(cells + self.text_attention(cells + positions, keys, values)))
