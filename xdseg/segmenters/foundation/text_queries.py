"""Segmenters whose queries are class names that saw the image: what tqdm (Pak et al., ECCV 2024) and MFuser share.

Images become maps for the neck and an embedding beside the texts; names, embedded by a frozen text tower, look at the
latter and become the queries of a mask decoder. The neck's maps are what adaptations may change; texts and the joint
embedding are context.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Size, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.foundation.context_decoder import ContextDecoder
from xdseg.segmenters.foundation.decoder import MaskDecoder
from xdseg.segmenters.foundation.encoders_vlm import VisionLanguage
from xdseg.segmenters.foundation.fixed_prediction import FixedPrediction
from xdseg.segmenters.foundation.neck import SCALES, Neck
from xdseg.segmenters.foundation.patches import whole_patches
from xdseg.segmenters.foundation.text import ClassNames, name_tokens
from xdseg.segmenters.mask_prediction import normalised
from xdseg.segmenters.scan.backends import Backend
from xdseg.settings.text_queries import TextQueries as Settings

JOINT, TEXT, GRID = "joint", "text", "grid"


@dataclass(frozen=True)
class Seen:
    """What encoders make of images: four maps (B, C, h, w), and [global | patches] (B, 1 + h w, E) beside the texts."""

    maps: list[Tensor]
    joint: Tensor
    grid: Size


class TextQueries(Segmenter):
    """All but the image's encoders; `name` is the segmenter's, in messages.

    A subclass adds its encoders, then calls `add_decoders`, and says what they see.
    """

    divisible = True
    encoders: tuple[str, ...] = ("vlm.",)  # what begins the names of parameters that are no head's

    def __init__(self, settings: Settings, classes: Sequence[str], *, name: str) -> None:
        super().__init__()
        self.settings, self.classes, self.name = settings, tuple(classes), name
        self.vlm = VisionLanguage(settings.vlm, patch=settings.patch, fused=settings.fused, where=f"{name}.vlm")
        self.patch = self.vlm.patch

    def add_decoders(self, width: int, *, backend: Backend = "auto") -> None:
        """Neck, names and decoder, for maps of so many channels; `backend` runs the scan of the enhancer, if any."""
        text, where, embedding = self.settings.text, f"{self.name}.text", self.vlm.embedding
        self.neck = Neck(width, self.settings.neck)
        ids = name_tokens(self.vlm, self.classes, length=text.length, where=where)
        self.names = ClassNames(ids, self.vlm.text, contexts=text.contexts, where=where)
        none = text.enhancer == "none"
        self.context_decoder = None if none else ContextDecoder(embedding, text, backend=backend)
        self.decoder = MaskDecoder(self.neck.width, self.settings.decoder, classes=len(self.classes), text=embedding)

    @abstractmethod
    def look(self, images: Tensor, steer: Steer | None) -> Seen:
        """What the encoders make of images (B, 3, H, W) of whole patches."""

    @abstractmethod
    def encoder_sites(self) -> list[Site]:
        """Attention of the encoders that can be steered."""

    def describe(self) -> Description:
        """The neck's maps. Sites: blocks of the first encoder, and the decoder's attention to maps."""
        strides = [self.patch / scale for scale in SCALES]  # 3.5 and so on, of patches of 14 pixels
        maps = [MapSpec(f"neck{n}", self.neck.width, _whole(stride)) for n, stride in enumerate(strides)]
        sites = (*self.encoder_sites(), *self.decoder.sites(stride=maps[1].stride))
        return Description(classes=self.classes, maps=tuple(maps), multiple=2 * self.patch, sites=sites)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The neck's maps; context: embeddings of image and texts, and the grid of the patches.

        Raises BadInput for images that are smaller than two patches a side or, with remainder `pad`, no multiples.
        """
        seen = self.look(self.fitted(images), steer)
        maps = {f"neck{n}": x for n, x in enumerate(self.neck(seen.maps))}
        return Features(maps, {JOINT: seen.joint, TEXT: self.names(self.vlm.text), GRID: seen.grid})

    def fitted(self, images: Tensor) -> Tensor:
        """Whole patches of the images."""
        multiple = 2 * self.patch
        if self.settings.remainder == "pad" and any(side % multiple for side in images.shape[-2:]):
            size = "x".join(map(str, images.shape[-2:]))
            raise BadInput(
                f"{self.name}: images of {size} pixels; take a crop whose sides {multiple} divides, or remainder: cut"
            )
        return whole_patches(images, self.patch, origin=self.name)

    def decode(self, features: Features, *, steer: Steer | None = None) -> FixedPrediction:
        """Texts that saw the image, and the decoder's prediction with them as queries."""
        joint = features.context[JOINT]
        text = features.context[TEXT].expand(len(joint), -1, -1)  # (B, K, E)
        if self.context_decoder is not None:
            text = self.context_decoder(text, joint)
        prediction = self.decoder(list(features.maps.values()), text, steer=steer)
        if self.settings.pixel_text.weight:
            alike = DensePrediction(self.alike(joint, text, features.context[GRID]), self.settings.pixel_text.mean_over)
            prediction = replace(prediction, alike=alike, alike_weight=self.settings.pixel_text.weight)
        return replace(prediction, regularisers=self.regularisers(features, text))

    def regularisers(self, features: Features, text: Tensor) -> dict[str, Tensor]:
        """Further terms (B,) by name, weighted, of texts (B, K, E) that saw the image; here none."""
        return {}

    @property
    def supervised(self) -> bool:
        """Whether what is predicted now may be trained."""
        return self.training and torch.is_grad_enabled()

    def alike(self, joint: Tensor, text: Tensor, grid: Size) -> Tensor:
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
        return not parameter.startswith(self.encoders)


def _whole(stride: float) -> int | float:
    return int(stride) if stride == int(stride) else stride
