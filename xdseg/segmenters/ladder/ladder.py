"""ViT-Adapter with Mask2Former on a plain vision transformer, and what EoMT's ladder leaves of it.

The baseline of Kerssies et al., "Your ViT is Secretly an Image Segmentation Model", CVPR 2025 (Table 1), whose code was
not published; its parts are put together here so that their numbers of parameters are the published ones. Step 0 is
all of it, step 1 has a pyramid in place of the adapter, step 2 no pixel decoder, step 3 one scale; steps 4 and 5 are
the segmenter `eomt`, with masks and without. See docs/ladder.md.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Steer
from xdseg.segmenters.ladder.adapter import INTERACTIONS, Adapter
from xdseg.segmenters.ladder.encoder_weights import fill_encoder
from xdseg.segmenters.ladder.pixel_decoder import PixelDecoder, Projections
from xdseg.segmenters.ladder.pyramid import Pyramid
from xdseg.segmenters.ladder.spatial_prior import STRIDES
from xdseg.segmenters.ladder.transformer_decoder import TransformerDecoder, decoder_sites
from xdseg.segmenters.mask_prediction import MaskPrediction, normalised, point_stream
from xdseg.segmenters.vit import Tokens
from xdseg.settings.ladder import ViTMask2Former as Settings

NAME, ENCODER = "vit-mask2former", "encoder."
SIDES = (4, 8, 16, 32)  # of patches that the strides of the maps are made of by whole halvings


class ViTMask2Former(Segmenter):
    """The network; all but `encoder` takes the head's learning rate."""

    divisible = True

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        shape = {"patch": settings.patch, "size": settings.size, "drop_path": settings.drop_path}
        self.encoder = vit.create(settings.encoder, segmenter=NAME, **shape)
        for block in self.encoder.blocks:
            block.attn.fused_attn = settings.fused
        self.patch, width = vit.patch_side(self.encoder), self.encoder.embed_dim
        self.layers = len(self.encoder.blocks)
        if self.patch not in SIDES:
            raise BadInput(f"{NAME}.patch: {self.patch} pixels; take {' or '.join(map(str, SIDES))}")
        self.strides = STRIDES if settings.multi_scale else (STRIDES[0], self.patch)
        if settings.adapter:
            self.quarters = quarters(len(self.encoder.blocks))
            self.encoder.norm.requires_grad_(False)  # its files hold it, but the adapter reads what comes before it
            self.adapter = Adapter(width, heads=self.adapter_heads(), settings=settings)
        else:
            self.pyramid = Pyramid(width, patch=self.patch, strides=self.strides)
        levels = len(self.strides) - 1  # the finest is for the masks
        self.pixel_decoder = (PixelDecoder if settings.pixel_decoder else Projections)(width, settings, levels=levels)
        self.decoder = TransformerDecoder(settings, levels=levels, classes=len(self.classes))

    def adapter_heads(self) -> int:
        """Heads of the adapter's attention. Raises BadInput if they do not share its width evenly."""
        heads = self.settings.adapter_heads or self.encoder.blocks[0].attn.num_heads
        inner = round(self.encoder.embed_dim * self.settings.adapter_ratio)
        if inner % heads:
            raise BadInput(f"{NAME}.adapter_heads: {heads} do not divide {inner}, adapter_ratio of the encoder's width")
        return heads

    def describe(self) -> Description:
        """Maps of several strides. Sites: blocks of the encoder, and the decoder's attention to maps."""
        maps = tuple(MapSpec(f"stride{stride}", self.encoder.embed_dim, stride) for stride in self.strides)
        entering = MapSpec(vit.INPUT, self.encoder.embed_dim, self.patch)
        blocks = [block.attn.num_heads for block in self.encoder.blocks]
        sites = [Site(f"blocks.{n}", heads, reads=entering) for n, heads in enumerate(blocks)]
        sites += decoder_sites(self.settings, layers=self.settings.decoder_layers, stride=self.strides[1])
        return Description(classes=self.classes, maps=maps, multiple=max(self.strides), sites=tuple(sites))

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The maps of the adapter, or of the pyramid that stands in for it."""
        tokens = vit.embed(self.encoder, images)
        if self.settings.adapter:
            maps = self.adapter(images, tokens, [partial(self.run, blocks=part, steer=steer) for part in self.quarters])
        else:
            tokens = self.run(tokens, blocks=range(len(self.encoder.blocks)), steer=steer)
            maps = self.pyramid(Tokens(self.encoder.norm(tokens.x), tokens.grid).patches)
        return Features({f"stride{stride}": x for stride, x in zip(self.strides, maps, strict=True)})

    def run(self, tokens: Tokens, *, blocks: Sequence[int], steer: Steer | None) -> Tokens:
        """Tokens after some of the encoder's blocks."""
        for number in blocks:
            bias = vit.patch_bias(f"blocks.{number}", tokens, steer)
            tokens = vit.run(self.encoder.blocks[number], tokens, bias)
        return tokens

    def decode(self, features: Features, *, steer: Steer | None = None) -> MaskPrediction:
        """Pixel decoder and transformer decoder; with gradients in training, the prediction before each layer too."""
        supervised = self.training and torch.is_grad_enabled()
        levels, mask_map = self.pixel_decoder(list(features.maps.values()))
        masks, classes = self.decoder(levels, mask_map, all_predictions=supervised, steer=steer)
        return MaskPrediction(masks, classes, self.settings.loss, point_stream(supervised))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores over their sum, as they are no logits."""
        return normalised(scores)

    def layer_of(self, parameter: str) -> int | None:
        """Block of the encoder whose learning rate a parameter shares; None for the last norm and all that is new."""
        return vit.block_of(parameter.removeprefix(ENCODER)) if parameter.startswith(ENCODER) else None

    def load_pretrained(self) -> None:
        """Fill the encoder as the setting says."""
        fill_encoder(self.encoder, self.settings, segmenter=NAME)


def quarters(blocks: int) -> list[range]:
    """The numbers of all blocks in four equal parts. Raises BadInput if they do not divide so."""
    length, rest = divmod(blocks, INTERACTIONS)
    if rest:
        raise BadInput(f"{NAME}.encoder: {blocks} blocks are not {INTERACTIONS} equal parts; take it without adapter")
    return [range(part * length, (part + 1) * length) for part in range(INTERACTIONS)]
