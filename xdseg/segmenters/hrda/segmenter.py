"""HRDA: one segmenter sees the whole image reduced and details of it at full size; an attention fuses its two answers.

Hoyer et al., ECCV 2022. In training the detail is one random crop, the same for all images of a batch; at test time,
and for a teacher, details slide over the image. The attention is read from the context, class by class, and is 0 where
no detail was seen. Both passes go through the same weights.

Departs from the released code: any dense segmenter may be inside, and the attention's head is SegFormer's for each of
them; a random crop may touch the lower and the right border; at test time windows pass a few at a time. A network in
training mode that slides, as a teacher whose batch norm reads the batch, sees all its windows at once, as published.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.contract import Description, Features, Part, Segmenter, Size, Steer
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.hrda.boxes import Box, cut, hull, in_cells, random_box, windows
from xdseg.segmenters.hrda.fusion import covered, fused, resized, spread
from xdseg.segmenters.hrda.inner import check_details, crop_unit, examine
from xdseg.segmenters.hrda.prediction import HRDAPrediction
from xdseg.segmenters.segformer import SegFormerHead
from xdseg.settings.hrda import HRDA as Settings

DETAIL, SIZE = "detail", "image_size"  # name of a part, and of what the context holds beside the inner one's
FULL = 1.0  # scale of a detail
INNER = "inner."
CLASSIFIER_DEVIATION = 0.01  # of the attention's last weights, as in mmsegmentation's heads
WINDOWS_PER_PASS = 9  # at test time; fixed, as other batches give other last bits. A window of 1024 has as many

T = TypeVar("T")


class HRDA(Segmenter):
    """The network; `inner` has the inner segmenter's groups, `attention` takes the head's learning rate."""

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes, inner = settings, tuple(classes), settings.inner
        self.inner: Segmenter = SEGMENTERS[inner.kind].load()(inner.settings, classes)
        self.layers, self.divisible = self.inner.layers, self.inner.divisible
        found, description = examine(self.inner, inner.kind), self.inner.describe()
        check_details(settings, found, multiple=description.multiple)
        self.unit, self.joint = crop_unit(settings, found), found.joint
        self.attention = SegFormerHead(
            [spec.channels for spec in description.maps],
            settings.attention_channels,
            len(self.classes) if settings.attention_classwise else 1,
            dropout=settings.attention_dropout,
        )
        nn.init.normal_(self.attention.classifier.weight, std=CLASSIFIER_DEVIATION)
        nn.init.zeros_(self.attention.classifier.bias)

    def describe(self) -> Description:
        """The inner segmenter's, whose maps are of the context; a steer of a site applies to context and details."""
        inner, reduction = self.inner.describe(), self.settings.reduction
        maps = tuple(replace(spec, stride=spec.stride * reduction) for spec in inner.maps)
        return replace(inner, maps=maps, multiple=inner.multiple * reduction)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """Maps of the context, and as parts one random detail, or without a stream windows over the whole image.

        Raises BadInput for images whose sides are no multiples of what the description says.
        """
        size, multiple = tuple(images.shape[-2:]), self.describe().multiple
        if any(side % multiple for side in size):
            raise BadInput(f"hrda: images of {size[0]}x{size[1]} pixels; take a crop whose sides {multiple} divides")
        box = None if stream is None else random_box(size, self.settings.detail, unit=self.unit, stream=stream)
        context = self.inner.encode(self.reduced(images), stream=stream, steer=steer)
        if box is None:
            parts = self.slid(images, steer)
        else:
            parts = {DETAIL: Part(self.inner.encode(cut(images, box), stream=stream, steer=steer), box, FULL)}
        return Features(context.maps, {**context.context, SIZE: size}, parts)

    def maps(self, images: Tensor) -> Mapping[str, Tensor]:
        """The maps of the context alone."""
        return self.inner.maps(self.reduced(images))

    def reduced(self, images: Tensor) -> Tensor:
        """The images (B, 3, H, W) as the context shows them."""
        return resized(images, tuple(side // self.settings.reduction for side in images.shape[-2:]))

    def slid(self, images: Tensor, steer: Steer | None) -> dict[str, Part]:
        """Features of all windows, row by row."""
        boxes = windows(tuple(images.shape[-2:]), self.settings.detail, stride=self.settings.detail_stride)
        found = [features for some in self.passes(boxes) for features in self.encoded(images, some, steer)]
        parts = [Part(features, box, FULL) for features, box in zip(found, boxes, strict=True)]
        return {f"{DETAIL}.{number}": part for number, part in enumerate(parts)}

    def passes(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """What goes through the network together."""
        many = (len(items) if self.training else WINDOWS_PER_PASS) if self.joint else 1
        return (items[first : first + many] for first in range(0, len(items), many))

    def encoded(self, images: Tensor, boxes: Sequence[Box], steer: Steer | None) -> list[Features]:
        """Features of each box, from one pass."""
        features = self.inner.encode(torch.cat([cut(images, box) for box in boxes]), steer=steer)
        if len(boxes) == 1:
            return [features]
        split = {name: value.split(len(images)) for name, value in features.maps.items()}
        return [Features({name: values[n] for name, values in split.items()}) for n in range(len(boxes))]

    def decode(self, features: Features, *, steer: Steer | None = None) -> HRDAPrediction:
        """Context and details fused; the context alone where there are no parts."""
        context = self.inner.decode(features, steer=steer)
        if not features.parts:
            return HRDAPrediction(context)
        parts, size = list(features.parts.values()), features.context[SIZE]
        boxes = [part.box for part in parts]
        details = [detail for some in self.passes(parts) for detail in self.decoded(some, steer)]
        everywhere = spread([detail.logits for detail in details], boxes, size)
        attention = self.scale_attention(features, tuple(context.logits.shape[2:]))
        attention = attention * covered(boxes, size, attention)
        return HRDAPrediction(
            fused=replace(context, logits=fused(context.logits, everywhere, attention)),
            detail=details[0] if len(details) == 1 else _of_windows(details[0], everywhere, boxes, size),
            box=hull(boxes),
            detail_loss=self.settings.detail_loss,
        )

    def decoded(self, parts: Sequence[Part], steer: Steer | None) -> list[DensePrediction]:
        """Predictions of parts, from one pass."""
        if len(parts) == 1:
            return [self.inner.decode(parts[0].features, steer=steer)]
        names = parts[0].features.maps
        joined = {name: torch.cat([part.features.maps[name] for part in parts]) for name in names}
        prediction = self.inner.decode(Features(joined), steer=steer)
        return [replace(prediction, logits=logits) for logits in prediction.logits.chunk(len(parts))]

    def scale_attention(self, features: Features, grid: Size) -> Tensor:
        """(B, K or 1, *grid) float32 in [0, 1]: how much details count, as the context sees it."""
        return resized(self.attention(list(features.maps.values())).float().sigmoid(), grid)

    def set_progress(self, step: int, total: int) -> None:
        """For the inner segmenter."""
        self.inner.set_progress(step, total)

    def load_pretrained(self) -> None:
        """What the inner segmenter's settings name."""
        self.inner.load_pretrained()

    def is_head(self, parameter: str) -> bool:
        """The attention, and what is head in the inner segmenter."""
        name = parameter.removeprefix(INNER)
        return name == parameter or self.inner.is_head(name)

    def layer_of(self, parameter: str) -> int | None:
        """Block of the inner segmenter; the attention is in none."""
        name = parameter.removeprefix(INNER)
        return None if name == parameter else self.inner.layer_of(name)


def _of_windows(one: DensePrediction, logits: Tensor, boxes: Sequence[Box], size: Size) -> DensePrediction:
    """The prediction of what windows cover, with the switches of one of them; further heads of windows are left out."""
    without = {"auxiliary": {}} if one.auxiliary else {}
    return replace(one, logits=cut(logits, in_cells(hull(boxes), size, tuple(logits.shape[2:]))), **without)
