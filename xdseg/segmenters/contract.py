"""What every segmenter offers, so that adaptations compose with any of them (design: "The contract").

B images, K classes, (H, W) size in pixels. Images are normalised float (B, 3, H, W); labels int64 (B, H, W), 255
where a pixel is ignored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.parameters import parameter_groups
from xdseg.segmenters.steering import Steering
from xdseg.settings.training import Training

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class MapSpec:
    """One map that a segmenter's features carry: shape (B, channels, H / stride, W / stride)."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Site:
    """One attention that can be steered."""

    name: str
    heads: int
    kind: Literal["self", "cross"] = "self"
    reads: MapSpec | None = None  # what `seen_at` gives there, if a steer sees any map


@dataclass(frozen=True)
class Description:
    """What an adaptation must know of a segmenter to fit itself to it."""

    classes: tuple[str, ...]
    maps: tuple[MapSpec, ...]  # in the order of Features.maps, finest first
    multiple: int  # encode takes images whose sides are multiples of so many pixels
    sites: tuple[Site, ...] = ()
    auxiliary: tuple[str, ...] = ()  # names in Prediction.auxiliary, in training at least


@dataclass(frozen=True)
class Features:
    """What encode hands to decode."""

    maps: Mapping[str, Tensor]  # all that an adaptation may read or change, (B, C, h, w) each
    context: Mapping[str, Any] = field(default_factory=dict)  # what else decode needs; carried untouched
    parts: Mapping[str, "Part"] = field(default_factory=dict)  # features of several views of the image (HRDA)

    def with_maps(self, new: Mapping[str, Tensor]) -> "Features":
        """A copy with some maps replaced. Raises ValueError for a name that is not there."""
        return replace(self, maps=_replaced(self.maps, new))

    def with_parts(self, new: Mapping[str, "Part"]) -> "Features":
        """A copy with some parts replaced. Raises ValueError for a name that is not there."""
        return replace(self, parts=_replaced(self.parts, new))


@dataclass(frozen=True)
class Part:
    """Features of one rectangle of the images, seen at another scale."""

    features: Features
    box: tuple[int, int, int, int]  # top, left, height, width in pixels of the images
    scale: float  # the rectangle was resized by this factor before encoding


def _replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(new) - set(old):
        raise ValueError(f"{min(unknown)!r} is not among {', '.join(old)}")
    return {name: new.get(name, value) for name, value in old.items()}


Steer = Callable[[str, Features, Size], Tensor | Steering | None]
"""(site, features so far, key grid) -> bias added before the softmax, broadcastable to (B, heads, queries, keys).

A `Steering` says more than a bias. None leaves the fused kernel and thus the host's bytes. A steer is pure: equal
arguments, equal bias.
"""


def seen_at(site: Site, features: Features) -> Tensor:
    """The map (B, C, h, w) that a site is described to read, of what a steer sees there."""
    name = site.reads.name
    return features.maps[name] if name in features.maps else features.context[name]


class Prediction(ABC):
    """What decode says about a batch of images.

    `auxiliary` holds what further heads on earlier maps say, by name (DeepLabV2's second classifier); most have none.
    Their losses are in `loss` already.
    """

    auxiliary: "Mapping[str, Prediction]" = MappingProxyType({})

    @abstractmethod
    def scores(self, size: Size) -> Tensor:
        """(B, K, *size) float32: what windows average and argmax reads; no common scale across segmenters."""

    @abstractmethod
    def probabilities(self, size: Size) -> Tensor:
        """(B, K, *size) float32 in [0, 1]; sums to 1 over the classes."""

    @abstractmethod
    def loss(self, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Scalar terms by name, summed by the caller; auxiliary heads and set losses included.

        `weights` (B, H, W) scale each pixel's part; weights of 1 give the published loss, bit for bit. Where all
        pixels are ignored every term is 0, with zero gradient.
        """


class Segmenter(nn.Module, ABC):
    """A network. Built as `Class(settings, classes)`, with all initial draws from torch's global generator."""

    layers: int = 0  # numbered blocks of the encoder, over which `recipe.layer_decay` falls; 0: no decay by layer
    divisible: bool = False  # whether processes can share its batch: losses and draws are by xdseg.training.ranks

    @abstractmethod
    def describe(self) -> Description:
        """Maps, attention sites, multiple of the image's sides, classes."""

    @abstractmethod
    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """Features of (B, 3, H, W); `stream` feeds the network's own draws in training, such as a detail crop."""

    @abstractmethod
    def decode(self, features: Features, *, steer: Steer | None = None) -> Prediction:
        """The prediction. With the maps that encode gave, changed or not."""

    def predict(self, images: Tensor, *, steer: Steer | None = None) -> Tensor:
        """Scores (B, K, H, W) at the images' size, which may be any: the default pads with 0 and crops back.

        Teacher, test and windows call only this.
        """
        height, width = images.shape[-2:]
        multiple = self.describe().multiple
        below, right = -height % multiple, -width % multiple
        padded = F.pad(images, (0, right, 0, below)) if below or right else images
        scores = self.decode(self.encode(padded, steer=steer), steer=steer).scores(tuple(padded.shape[-2:]))
        return scores[..., :height, :width]

    def maps(self, images: Tensor) -> Mapping[str, Tensor]:
        """The maps of `encode(images)`, for whoever wants nothing else; where parts are costly (HRDA) none are made."""
        return self.encode(images).maps

    def probabilities(self, scores: Tensor) -> Tensor:
        """What `predict` gave, as probabilities; mask classifiers override the softmax."""
        return scores.softmax(1)

    def set_progress(self, step: int, total: int) -> None:
        """Called before each step; whatever anneals derives from these two numbers, never from a counter."""

    def load_pretrained(self) -> None:
        """Load the published weights that the settings name. Raises BadInput if they are missing or do not fit."""

    def is_head(self, parameter: str) -> bool:
        """Whether `recipe.head_lr_factor` applies to the parameter of that name."""
        return not parameter.startswith("encoder.")

    def layer_of(self, parameter: str) -> int | None:
        """Block, from 0 to `layers` - 1, that the parameter of that name belongs to; None: it has the full rate.

        For timm's vision transformers `xdseg.segmenters.parameters.timm_layer` tells it by the name.
        """
        return None

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """Groups for an optimiser, each trainable parameter in exactly one.

        Keys: params, name, lr, weight_decay, and part, `encoder` or `head`, whose schedule the group follows.
        """
        named, blocks = self.named_parameters(), {"layer_of": self.layer_of, "layers": self.layers}
        return parameter_groups(named, recipe, is_head=self.is_head, **blocks)
