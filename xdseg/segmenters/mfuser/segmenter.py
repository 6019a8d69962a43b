"""MFuser: a vision model and a vision-language model, both frozen, with a co-adapter after each pair of their blocks.

Zhang & Tan, "Mamba as a Bridge: Where Vision Foundation Models Meet Vision Language Models for Domain-Generalized
Semantic Segmentation", CVPR 2025. Patches of both, side by side, go through the neck to tqdm's decoder, whose queries
are the class names after they saw the image. The code is the reference; where the paper says less or else, a setting
holds what the code does. The neck's maps are what adaptations may change; texts and the joint embedding are context.

Departs from the code: positions are resampled with each pass, so that images may have any size; CLIP's image tower
drops no paths in training; a parameter that the code never reads (`random_text`) is not there.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.foundation.context_decoder import ContextDecoder
from xdseg.segmenters.foundation.decoder import MaskDecoder
from xdseg.segmenters.foundation.encoders_vfm import create_vision, fill_vision
from xdseg.segmenters.foundation.encoders_vlm import VisionLanguage
from xdseg.segmenters.foundation.fixed_prediction import FixedPrediction
from xdseg.segmenters.foundation.neck import SCALES, Neck
from xdseg.segmenters.foundation.patches import whole_patches
from xdseg.segmenters.foundation.text import ClassNames, name_tokens
from xdseg.segmenters.foundation.towers import TimmTower
from xdseg.segmenters.ladder.transformer_decoder import decoder_sites
from xdseg.segmenters.mask_prediction import normalised
from xdseg.segmenters.mfuser.fusers import create_fuser, projects
from xdseg.segmenters.mfuser.streams import SITE, Passed, check_pair, run_pair, tapped
from xdseg.segmenters.steering import INPUT
from xdseg.segmenters.vit import Tokens
from xdseg.settings.mfuser import MFuser as Settings

NAME = "mfuser"
JOINT, TEXT, GRID = "joint", "text", "grid"
ENCODERS = ("vfm.", "vlm.", "fusers.")


class MFuser(Segmenter):
    """The network; encoders and fusers count as encoder, all else takes the head's learning rate."""

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        self.vlm = VisionLanguage(settings.vlm, patch=settings.patch, fused=settings.fused, where=f"{NAME}.vlm")
        self.patch, vlm = self.vlm.patch, self.vlm.tower.width
        where = f"{NAME}.vfm"
        self.vfm = create_vision(settings.vfm, patch=self.patch, fused=settings.fused, segmenter=where)
        vfm, pairs = self.vision.width, check_pair(self.vision, self.vlm.tower)
        self.taps = tapped(pairs, settings.taps)
        fusers = [create_fuser(settings.fuser, vfm=vfm, vlm=vlm) for _ in range(pairs)]
        self.fusers = nn.ModuleList(fuser for fuser in fusers if fuser is not None)
        wider = projects(settings.fuser, vfm=vfm, vlm=vlm)
        self.projection = nn.Linear(vfm, vlm) if wider else nn.Identity()
        self.neck = Neck(vfm + vlm, settings.neck)
        self._add_text()
        self.decoder = MaskDecoder(
            self.neck.width, settings.decoder, classes=len(self.classes), text=self.vlm.embedding
        )

    def _add_text(self) -> None:
        text, where = self.settings.text, f"{NAME}.text"
        ids = name_tokens(self.vlm, self.classes, length=text.length, where=where)
        self.names = ClassNames(ids, self.vlm.text, contexts=text.contexts, where=where)
        self.context_decoder = None if text.enhancer == "none" else ContextDecoder(self.vlm.embedding, text)

    @property
    def vision(self) -> TimmTower:
        """The vision model, as its stream reads it."""
        return TimmTower(self.vfm, self.settings.vfm.positions)

    def describe(self) -> Description:
        """The neck's maps. Sites: blocks of the vision model, and the decoder's attention to maps."""
        strides = [self.patch / scale for scale in SCALES]  # 3.5 and so on, of patches of 14 pixels
        maps = [MapSpec(f"neck{n}", self.neck.width, _whole(stride)) for n, stride in enumerate(strides)]
        entering = MapSpec(INPUT, self.vision.width, self.patch)
        sites = [
            Site(f"{SITE}.{n}", block.attn.num_heads, reads=entering) for n, block in enumerate(self.vision.blocks)
        ]
        decoder = self.settings.decoder
        sites += decoder_sites(decoder, layers=decoder.decoder_layers, stride=maps[1].stride)
        return Description(classes=self.classes, maps=tuple(maps), multiple=2 * self.patch, sites=tuple(sites))

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The neck's maps; context: embeddings of image and texts, and the grid of the patches.

        Raises BadInput for images that are smaller than two patches a side or, with remainder `pad`, no multiples.
        """
        images = self.fitted(images)
        tokens = self.vision.embed(images), self.vlm.tower.embed(self.vlm.normalised(images))
        passed = run_pair((self.vision, self.vlm.tower), tokens, self.fusers, taps=self.taps, steer=steer)
        maps = {f"neck{n}": x for n, x in enumerate(self.neck(passed.maps))}
        context = {JOINT: self.joint(passed), TEXT: self.names(self.vlm.text), GRID: passed.vfm.grid}
        return Features(maps, context)

    def fitted(self, images: Tensor) -> Tensor:
        """Whole patches of the images."""
        multiple = 2 * self.patch
        if self.settings.remainder == "pad" and any(side % multiple for side in images.shape[-2:]):
            size = "x".join(map(str, images.shape[-2:]))
            raise BadInput(
                f"{NAME}: images of {size} pixels; take a crop whose sides {multiple} divides, or remainder: cut"
            )
        return whole_patches(images, self.patch, origin=NAME)

    def joint(self, passed: Passed) -> Tensor:
        """[global | patches] (B, 1 + h w, E) of both encoders, beside the texts."""
        vfm = self.vision.normed(passed.vfm) if self.vlm.tower.joins_normed else passed.vfm
        return self.vlm.tower.joint(passed.vlm, Tokens(self.projection(vfm.x), vfm.grid))

    def decode(self, features: Features, *, steer: Steer | None = None) -> FixedPrediction:
        """Texts that saw the image, and the decoder's prediction with them as queries."""
        joint = features.context[JOINT]
        text = features.context[TEXT].expand(len(joint), -1, -1)  # (B, K, E)
        if self.context_decoder is not None:
            text = self.context_decoder(text, joint)
        prediction = self.decoder(list(features.maps.values()), text, steer=steer)
        if self.settings.pixel_text.weight == 0:
            return prediction
        alike = DensePrediction(self.alike(joint, text, features.context[GRID]), self.settings.pixel_text.mean_over)
        return replace(prediction, alike=alike, alike_weight=self.settings.pixel_text.weight)

    def alike(self, joint: Tensor, text: Tensor, grid: tuple[int, int]) -> Tensor:
        """Logits (B, K, h, w): cosines of patches and texts, scaled."""
        cosines = F.normalize(text, dim=-1) @ F.normalize(joint[:, 1:], dim=-1).transpose(1, 2)
        temperature = self.settings.pixel_text.temperature
        if temperature is not None:
            logits = cosines / temperature
        else:
            bias = 0 if self.vlm.logit_bias is None else self.vlm.logit_bias
            logits = cosines * self.vlm.logit_scale.exp() + bias
        return logits.unflatten(2, grid)

    def predict(self, images: Tensor, *, steer: Steer | None = None) -> Tensor:
        """Scores at any size; with remainder `cut` of what whole patches show, stretched over the images."""
        if self.settings.remainder == "pad":
            return super().predict(images, steer=steer)
        return self.decode(self.encode(images, steer=steer), steer=steer).scores(tuple(images.shape[-2:]))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores over their sum, as they are no logits."""
        return normalised(scores)

    def is_head(self, parameter: str) -> bool:
        """All but encoders and what stands between them."""
        return not parameter.startswith(ENCODERS)

    def load_pretrained(self) -> None:
        """Fill both encoders as the settings say."""
        fill_vision(self.vfm, self.settings.vfm, segmenter=f"{NAME}.vfm")
        self.vlm.load_pretrained()


def _whole(stride: float) -> int | float:
    return int(stride) if stride == int(stride) else stride
