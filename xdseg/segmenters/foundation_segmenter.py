"""Mask2Former on a foundation model that is frozen or tuned: what Rein, SoMA and VLTSeg are compared by.

An encoder, a tuning of it, a neck that makes maps of four strides of the patches behind four blocks, and Mask2Former's
decoders with learnt queries. With Rein (Wei et al., CVPR 2024) its tokens make the queries, content and positions.
VLTSeg (Hümmer et al., ACCV 2024) is EVA-02-CLIP tuned in full at a tenth of the learning rate, of which open_clip's
files fill timm's encoder too; the neck, of which nothing was read, is a reconstruction.

Departs from the released codes in this: class, register and patch tokens are timm's; the last norm, which the neck does
not read, is frozen; no average of weights over the run (SoMA).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Steer
from xdseg.segmenters.foundation.neck import SCALES, Neck
from xdseg.segmenters.foundation.statistics import OwnStatistics
from xdseg.segmenters.ladder.encoder_weights import fill_encoder
from xdseg.segmenters.ladder.pixel_decoder import PixelDecoder
from xdseg.segmenters.ladder.transformer_decoder import TransformerDecoder, decoder_sites
from xdseg.segmenters.mask_prediction import MaskPrediction, normalised, point_stream
from xdseg.segmenters.tunings.apply import Tuned
from xdseg.segmenters.tunings.groups import tuned_groups
from xdseg.settings.foundation import Foundation as Settings
from xdseg.settings.training import Training

NAME, ENCODER = "foundation", "encoder.encoder."
LEVELS = len(SCALES) - 1  # maps that are attended to: all but the finest, which masks are made of
EMBEDDINGS = ("queries", "positions", "levels")  # of the transformer decoder
ENDS = (1 / 3, 1 / 2, 2 / 3, 1)  # of the encoder, where the neck reads


class Foundation(Segmenter):
    """The network; all but `encoder` takes the head's learning rate."""

    divisible = True

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        sides = {"patch": settings.patch, "size": settings.size}
        plain = vit.create(settings.encoder, **sides, drop_path=settings.drop_path, segmenter=NAME)
        for block in plain.blocks:
            block.attn.fused_attn = settings.fused
        self.layers, self.taps = len(plain.blocks), taps(len(plain.blocks), settings.blocks)
        self.strides = strides(vit.patch_side(plain))
        self.statistics = OwnStatistics(plain) if settings.statistics == "own" else nn.Identity()
        self.encoder = Tuned(plain, settings.tuning, query_width=settings.decoder.dim)
        plain.norm.requires_grad_(False)  # its files hold it, but the neck reads what comes before it
        self.neck = Neck(plain.embed_dim, settings.neck)
        self.pixel_decoder = PixelDecoder(self.neck.width, settings.decoder, levels=LEVELS)
        self.decoder = TransformerDecoder(settings.decoder, levels=LEVELS, classes=len(self.classes))
        if self.encoder.gives_queries:
            del self.decoder.queries, self.decoder.positions

    def describe(self) -> Description:
        """The neck's maps. Sites: blocks of the encoder, and the decoder's attention to maps."""
        maps = tuple(MapSpec(f"stride{stride}", self.neck.width, stride) for stride in self.strides)
        plain, decoder = self.encoder.encoder, self.settings.decoder
        entering = MapSpec(vit.INPUT, plain.embed_dim, vit.patch_side(plain))
        sites = [Site(f"blocks.{n}", block.attn.num_heads, reads=entering) for n, block in enumerate(plain.blocks)]
        sites += decoder_sites(decoder, layers=decoder.decoder_layers, stride=self.strides[1])
        return Description(classes=self.classes, maps=maps, multiple=max(self.strides), sites=tuple(sites))

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The neck's maps of the patches behind four blocks."""
        tokens, tapped = vit.embed(self.encoder.encoder, self.statistics(images)), []
        for number in range(self.taps[-1] + 1):
            bias = vit.patch_bias(f"blocks.{number}", tokens, steer)
            tokens = self.encoder.run(number, tokens, bias)
            if number in self.taps:
                tapped.append(tokens.patches)
        maps = self.neck(tapped)
        return Features({f"stride{stride}": x for stride, x in zip(self.strides, maps, strict=True)})

    def decode(self, features: Features, *, steer: Steer | None = None) -> MaskPrediction:
        """Pixel decoder and transformer decoder; with gradients in training, the prediction before each layer too."""
        supervised = self.training and torch.is_grad_enabled()
        levels, mask_map = self.pixel_decoder(list(features.maps.values()))
        queries, given = self.encoder.queries(), {}
        if queries is not None:
            given = {"contents": queries.content.expand(len(mask_map), -1, -1), "positions": queries.positions}
        masks, classes = self.decoder(levels, mask_map, all_predictions=supervised, steer=steer, **given)
        return MaskPrediction(masks, classes, self.settings.decoder.loss, point_stream(supervised))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores over their sum, as they are no logits."""
        return normalised(scores)

    def layer_of(self, parameter: str) -> int | None:
        """Block of the encoder whose learning rate a parameter shares; None for all that is new, Rein too."""
        return vit.block_of(parameter.removeprefix(ENCODER)) if parameter.startswith(ENCODER) else None

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """Groups as the tuning wants them; what a decoder's queries begin with is not decayed, as published."""
        names = () if self.settings.decay_embeddings else EMBEDDINGS
        undecayed = [parameter for name, parameter in self.decoder.named_parameters() if name in names]
        return tuned_groups(super().parameter_groups(recipe), self.encoder, undecayed=undecayed)

    def load_pretrained(self) -> None:
        """Fill the encoder as the setting says, and begin the tuning from that."""
        self.encoder.load(lambda plain: fill_encoder(plain, self.settings, segmenter=NAME))


def taps(many: int, chosen: Sequence[int] | None) -> tuple[int, ...]:
    """Numbers of the blocks that the neck reads. Raises BadInput if they are not there, or do not rise."""
    blocks = tuple(chosen or (round(many * end) - 1 for end in ENDS))
    if list(blocks) != sorted(set(blocks)) or not 0 <= blocks[0] <= blocks[-1] < many:
        raise BadInput(f"{NAME}.blocks: {list(blocks)}, of an encoder of {many}; name four that rise, from 0")
    return blocks


def strides(patch: int) -> tuple[int, ...]:
    """Of the neck's maps, in pixels, finest first. Raises BadInput if they are no whole pixels."""
    if patch % SCALES[0]:
        raise BadInput(f"{NAME}.patch: {patch} pixels, of which a quarter is no whole pixel; take 16")
    return tuple(round(patch / scale) for scale in SCALES)
