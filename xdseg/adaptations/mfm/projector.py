"""From token states to one map: as many doublings as the map is finer than the tokens, then its channels.

After the Rebuilder that was released with Masked Representation Modeling. A doubling is a transposed convolution, the
first two of which halve the channels; layer norm and GELU stand between doublings.
"""

import math
from itertools import pairwise

from timm.layers import LayerNorm2d
from torch import nn

EPSILON = 1e-5  # of layer norms
DIVISORS = (1, 2, 4, 4)  # of the tokens' width after 0, 1, 2 and 3 doublings
KERNEL, STRIDE, PADDING = 4, 2, 1  # exactly doubles height and width


def doublings_to(ratio: float) -> int:
    """Doublings whose factor is next to `ratio`, tokens' side over map's stride; 0 to 3."""
    return min(max(round(math.log2(ratio)), 0), len(DIVISORS) - 1)


def projector(width: int, channels: int, *, doublings: int, norm: bool) -> nn.Sequential:
    """(B, width, h, w) to (B, channels, 2^doublings h, 2^doublings w), ending in a layer norm over channels or not."""
    layers: list[nn.Module] = []
    widths = [width // divisor for divisor in DIVISORS[: doublings + 1]]
    for inputs, outputs in pairwise(widths):
        if layers:
            layers += [LayerNorm2d(inputs, eps=EPSILON), nn.GELU()]
        layers.append(nn.ConvTranspose2d(inputs, outputs, KERNEL, STRIDE, PADDING))
    layers.append(nn.Conv2d(widths[-1], channels, kernel_size=1))
    return nn.Sequential(*layers, *([LayerNorm2d(channels, eps=EPSILON)] if norm else []))
