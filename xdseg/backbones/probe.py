"""Linear probe: how much of a label can be read off an encoder's maps, which stay as they are, by a linear classifier.

Alain and Bengio, 2016. The maps are brought to a grid of stride 4, put side by side and standardised; multinomial
logistic regression is fitted on cells of one streetworld domain and scored on others. Everything is deterministic, so
random initialisations can be told from pre-trained weights with the same classifier and the same cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xdseg.backbones.encoders import MapEncoder
from xdseg.data.streetworld.render import render
from xdseg.data.streetworld.settings import CLASSES, Streetworld
from xdseg.data.tensors import image_tensor, normalise
from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.scores import scores
from xdseg.segmenters.encoders import fill
from xdseg.training import device as devices
from xdseg.training.streams import generator, global_draws

Maps = nn.Module  # of normalised images (B, 3, H, W), maps (B, C_i, H / s_i, W / s_i)

STRIDE = 4  # pixels per cell of the grid
NO_CLASS = 255


@dataclass(frozen=True)
class Probe:
    """What is fitted and on how much."""

    domain: str = "clear"
    targets: tuple[str, ...] = ("clear", "night", "game")  # scored on the first validation scenes of each
    train: int = 60  # scenes
    test: int = 40  # scenes
    cells: int = 400  # per training scene, drawn at random
    penalty: float = 1e-3  # half the weight of the squared norm of the coefficients
    iterations: int = 60  # of L-BFGS


def probe(encoder: str, weights: Path | None, *, seed: int, settings: Probe, scenes: Streetworld) -> dict[str, float]:
    """MIoU in [0, 1] by target domain, of an encoder with weights from a file or, with None, as drawn from `seed`.

    Raises BadInput for a file that is missing or of another network.
    """
    with devices.reproducible(), global_draws(seed, "probe init", 0):
        model = MapEncoder(encoder)
        fill(model.network, weights and str(weights), name=encoder, segmenter="probe")
    return probe_maps(model, settings=settings, scenes=scenes)


def probe_maps(model: Maps, *, settings: Probe, scenes: Streetworld) -> dict[str, float]:
    """MIoU in [0, 1] by target domain, of anything that makes maps of images."""
    with devices.reproducible(), torch.no_grad():
        model.eval()
        features, labels = sample(model, settings, scenes)
        mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    classifier = fit((features - mean) / spread, labels, settings)
    return {target: score(model, classifier, (mean, spread), target, settings, scenes) for target in settings.targets}


def grid(model: Maps, image: np.ndarray) -> Tensor:
    """All maps of an image (H, W, 3) at stride 4, (H / 4 * W / 4, C); sides must be multiples of 32."""
    maps = model(normalise(image_tensor(image)[None].float()))
    size = (image.shape[0] // STRIDE, image.shape[1] // STRIDE)
    resized = [functional.interpolate(part, size, mode="bilinear", align_corners=False) for part in maps]
    return torch.cat(resized, dim=1)[0].flatten(1).T


def cell_labels(labels: np.ndarray) -> np.ndarray:
    """The label at the middle of each cell, (H / 4, W / 4)."""
    return labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]


def sample(model: Maps, settings: Probe, scenes: Streetworld) -> tuple[Tensor, Tensor]:
    """Features (N, C) and classes (N,) of random labelled cells; which ones depends on no encoder."""
    features, labels = [], []
    for index, (image, truth) in enumerate(drawn(scenes, settings.domain, "train", settings.train)):
        classes = torch.from_numpy(cell_labels(truth).astype(np.int64)).flatten()
        order = torch.randperm(len(classes), generator=generator(0, "probe cells", index))
        chosen = order[classes[order] != NO_CLASS][: settings.cells]
        features.append(grid(model, image)[chosen])
        labels.append(classes[chosen])
    return torch.cat(features), torch.cat(labels)


def drawn(scenes: Streetworld, domain: str, split: str, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first scenes of a split, with their labels."""
    for index in range(count):
        yield render(scenes, domain=domain, split=split, index=index)


def fit(features: Tensor, labels: Tensor, settings: Probe) -> nn.Linear:
    """Multinomial logistic regression of standardised features (N, C), from zero, to the end of L-BFGS."""
    classifier = nn.Linear(features.shape[1], len(CLASSES))
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimiser = torch.optim.LBFGS(classifier.parameters(), max_iter=settings.iterations, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(classifier(features), labels)
        value = value + settings.penalty / 2 * classifier.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return classifier


@torch.no_grad()
def score(
    model: Maps,
    classifier: nn.Linear,
    standard: tuple[Tensor, Tensor],
    target: str,
    settings: Probe,
    scenes: Streetworld,
) -> float:
    """MIoU of the classifier on all cells of a domain's validation scenes."""
    mean, spread = standard
    total = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for image, truth in drawn(scenes, target, "val", settings.test):
        cells = cell_labels(truth)
        found = classifier((grid(model, image) - mean) / spread).argmax(1).numpy().astype(np.uint8)
        total += confusion(cells.copy(), found.reshape(cells.shape), classes=len(CLASSES), ignore_index=NO_CLASS)
    return scores(total, classes=CLASSES, kept=tuple(range(len(CLASSES)))).miou or 0.0
