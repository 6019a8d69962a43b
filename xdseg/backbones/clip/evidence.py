"""What a model has learnt, on scenes that it has not seen: which caption is a crop's, which class is a patch's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xdseg.backbones.clip.model import Texts, embeddings
from xdseg.backbones.clip.scenes import Scene, captioned
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.tensors import image_tensor, normalise
from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.scores import scores
from xdseg.settings.clip import Clip

if TYPE_CHECKING:
    from open_clip import CustomTextCLIP

NO_CLASS = 255
DIGITS = 4


@dataclass(frozen=True)
class Extent:
    """How much is measured on."""

    scenes: int = 96  # held out
    sets: int = 8  # in which captions are looked for
    of: int = 64  # crops and captions each; chance finds one in as many
    tries: int = 4  # times as many crops are drawn, since a set holds no caption twice


@torch.no_grad()
def evidence(
    network: "CustomTextCLIP", scenes: Sequence[Scene], settings: Clip, texts: Texts, extent: Extent
) -> dict[str, float]:
    """Retrieval and zero-shot classes, shares in [0, 1], of a model in evaluation."""
    sides = {"retrieval": settings.crop} | ({"retrieval_wide": settings.wide.crop} if settings.wide else {})
    found = {
        name: np.mean([retrieved(network, scenes, settings, texts, extent, crop, n) for n in range(extent.sets)])
        for name, crop in sides.items()
    }
    classes = zero_shot(network, texts, ((scene.image, scene.labels) for scene in scenes))
    return {name: round(float(value), DIGITS) for name, value in found.items()} | classes


def retrieved(
    network: "CustomTextCLIP",
    scenes: Sequence[Scene],
    settings: Clip,
    texts: Texts,
    extent: Extent,
    crop: int,
    number: int,
) -> float:
    """Share of crops of one side, in one set, whose own caption is the nearest."""
    wanted = extent.of * extent.tries
    crops, captions = captioned(
        scenes, settings, stream="held out", step=number, crop=crop, count=wanted, fits=texts.fits
    )
    chosen = list({text: index for index, text in reversed(list(enumerate(captions)))}.values())[: extent.of]
    chosen.sort()
    images = embeddings(network, normalise(crops[chosen]))[0][:, 0]
    words = embedded(network, texts, [captions[index] for index in chosen])
    nearest = (functional.normalize(images, dim=-1) @ words.T).argmax(1)
    return (nearest == torch.arange(len(chosen))).float().mean().item()


def embedded(network: "CustomTextCLIP", texts: Texts, said: Sequence[str]) -> Tensor:
    """Unit embeddings (N, E) of texts."""
    return functional.normalize(network.encode_text(texts.rows(said)), dim=-1)


@torch.no_grad()
def zero_shot(
    network: "CustomTextCLIP",
    texts: Texts,
    scenes: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    tile: int | None = None,
) -> dict[str, float]:
    """How often a patch is nearest to the name of the class in its middle; no classifier is fitted.

    `accuracy` and `miou` are over all patches of images (H, W, 3) with labels (H, W); `commonest` is the accuracy of a
    guess that never changes. With `tile`, no patch sees beyond its square of this side, as in crops of that size.
    """
    names = embedded(network, texts, CLASSES)
    total = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for image, labels in scenes:
        patches = embedded_patches(network, normalise(image_tensor(image).float()), tile=tile)
        nearest = (functional.normalize(patches, dim=-1) @ names.T).argmax(-1).numpy().astype(np.uint8)
        side = labels.shape[0] // len(nearest)
        middle = np.ascontiguousarray(labels[side // 2 :: side, side // 2 :: side])
        total += confusion(middle, nearest, classes=len(CLASSES), ignore_index=NO_CLASS)
    kept = tuple(range(len(CLASSES)))
    figures = {
        "accuracy": np.trace(total) / total.sum(),
        "commonest": total.sum(1).max() / total.sum(),
        "miou": scores(total, classes=CLASSES, kept=kept).miou or 0.0,
    }
    return {key: round(float(value), DIGITS) for key, value in figures.items()}


def embedded_patches(network: "CustomTextCLIP", image: Tensor, *, tile: int | None) -> Tensor:
    """(h, w, E) beside the texts, of a normalised image (3, H, W), whole or in tiles that fill it."""
    sides = (tile, tile) if tile else tuple(image.shape[1:])
    tiles = image.unfold(1, sides[0], sides[0]).unfold(2, sides[1], sides[1])  # (3, rows, columns, *sides)
    found, grid = embeddings(network, tiles.permute(1, 2, 0, 3, 4).flatten(0, 1))
    patches = found[:, 1:].unflatten(1, grid).unflatten(0, tiles.shape[1:3])  # (rows, columns, h, w, E)
    return patches.transpose(1, 2).flatten(2, 3).flatten(0, 1)
