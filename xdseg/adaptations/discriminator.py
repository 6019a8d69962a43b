"""AdaptSegNet's discriminator: is a map of class probabilities one of a source image, or of a target image?

Tsai et al., CVPR 2018, section 4.1, after DCGAN without batch norm; AdvEnt (Vu et al., CVPR 2019) has the same one.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.func import functional_call

from xdseg.errors import BadInput

WIDENING = (1, 2, 4, 8)  # of the convolutions before the last one, whose single channel is the answer
SLOPE = 0.2
SMALLEST = 2 ** len((*WIDENING, "last"))  # side of a map that five halvings leave one cell of


class Discriminator(nn.Module):
    """Five 4x4 convolutions of stride 2: maps (B, K, H, W) to logits (B, 1, H // 32, W // 32)."""

    def __init__(self, classes: int, *, channels: int) -> None:
        super().__init__()
        widths = [classes, *(channels * factor for factor in WIDENING), 1]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers[:-1])  # the answer itself is a plain logit

    def forward(self, maps: Tensor) -> Tensor:
        """One logit per 32 x 32 pixels, high for the target. Raises BadInput for maps smaller than that."""
        height, width = maps.shape[-2:]
        if min(height, width) < SMALLEST:
            raise BadInput(
                f"adversarial: images of {height}x{width} pixels are too small for the discriminator; "
                f"set augmentation.crop to {SMALLEST} or more"
            )
        return self.layers(maps)

    def judge(self, maps: Tensor) -> Tensor:
        """The same logits, with a gradient for the maps and none for the discriminator's own parameters."""
        fixed = {name: parameter.detach() for name, parameter in self.named_parameters()}
        return functional_call(self, fixed, (maps,))
