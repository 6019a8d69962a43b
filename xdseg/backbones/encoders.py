"""The encoders that are pre-trained, as one kind of thing: images to maps, finest first."""

from dataclasses import dataclass

import segmentation_models_pytorch as smp
import timm
from torch import Tensor, nn

from xdseg.backbones import vit  # noqa: F401  (tells timm its name)

FIRST_STRIDE, FIRST_MAP = 4, 2  # the library's encoders begin with the image and a map of stride 2, empty for MiT


@dataclass(frozen=True)
class Part:
    """How much of an encoder is trained and kept."""

    depth: int = 5  # halvings
    left_out: str = ""  # prefix of the parameters beyond them


PARTS = {
    "resnet18": Part(depth=4, left_out="layer4."),  # three quarters of its parameters: 16 of 21 MiB in half precision
    "mit_b0": Part(),
}


class MapEncoder(nn.Module):
    """An encoder by name. `network` is what segmenters fill from the file; its maps are (B, C_i, H / s_i, W / s_i)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.left_out = PARTS[name].left_out if name in PARTS else ""
        if name in PARTS:
            self.network = smp.encoders.get_encoder(name, weights=None, depth=PARTS[name].depth)
            self.widths = tuple(self.network.out_channels[FIRST_MAP:])
            self.strides = tuple(FIRST_STRIDE << level for level in range(len(self.widths)))
        else:
            self.network = timm.create_model(name)
            self.widths, self.strides = (self.network.embed_dim,), (self.network.patch_embed.patch_size[0],)
        for key, parameter in self.network.named_parameters():
            parameter.requires_grad_(not (self.left_out and key.startswith(self.left_out)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of normalised images (B, 3, H, W), whose sides are multiples of the coarsest stride."""
        if len(self.strides) > 1:
            return list(self.network(images))[FIRST_MAP:]
        tokens = self.network.forward_features(images)  # (B, N, C)
        height, width = (side // self.strides[0] for side in images.shape[-2:])
        return [tokens.transpose(1, 2).unflatten(2, (height, width))]

    def kept(self) -> dict[str, Tensor]:
        """The state that a file of weights holds."""
        state = self.network.state_dict()
        return {key: value for key, value in state.items() if not (self.left_out and key.startswith(self.left_out))}
