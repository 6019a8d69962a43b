"""Truth and predictions of the suite `street` for protocol_effects.py: of trained runs, and made up from the truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from protocol_variants import IGNORED, Pair

from xdseg.data.pixels import read_label
from xdseg.evaluation.predictions import Predictions

DOMAINS = ("camvid_day", "camvid_dusk", "idd_lite", "labelme_facade")
STRIDE = 8


def stored(results: Path, data: Path) -> Iterator[tuple[str, list[Pair]]]:
    """Truth and prediction of every image, by cell, of the trained runs of the suite street."""
    for path in sorted(results.glob("street/*/*/*/*/predictions.zip")):
        domain = path.parent.name.rpartition("-")[0]
        with Predictions(path) as predictions:
            pairs = [(label, predictions.read(name)) for name, label in labels(data, domain)]
        yield "/".join(path.parts[-5:-1]), pairs


def labels(data: Path, domain: str) -> Iterator[tuple[str, np.ndarray]]:
    """Names and true labels of a domain's validation split."""
    folder = data / "street" / domain
    for name in (folder / "val.txt").read_text().split():
        yield name, read_label(folder / "labels" / f"{name}.png")


def made_up(data: Path) -> Iterator[tuple[str, list[Pair]]]:
    """The truth as prediction, moved right and down by some pixels, or read off a coarse grid; ignored pixels are 0."""
    truths = [(domain, [label for _, label in labels(data, domain)]) for domain in DOMAINS]
    for pixels in (1, 2, 4):
        for domain, found in truths:
            yield f"moved by {pixels}, {domain}", [(truth, moved(truth, pixels)) for truth in found]
    for domain, found in truths:
        yield f"grid of {STRIDE}, {domain}", [(truth, coarse(truth)) for truth in found]


def moved(truth: np.ndarray, pixels: int) -> np.ndarray:
    """The truth moved right and down; rows and columns that enter repeat the border."""
    shape = truth.shape
    filled = np.where(truth == IGNORED, 0, truth).astype(np.uint8)
    return np.pad(filled, ((pixels, 0), (pixels, 0)), mode="edge")[: shape[0], : shape[1]]


def coarse(truth: np.ndarray) -> np.ndarray:
    """The truth at the middle of each cell of a grid, enlarged again without smoothing."""
    filled = Image.fromarray(np.where(truth == IGNORED, 0, truth).astype(np.uint8))
    small = filled.resize((filled.width // STRIDE, filled.height // STRIDE), Image.Resampling.NEAREST)
    return np.asarray(small.resize(filled.size, Image.Resampling.NEAREST))


def coarse_scores(truth: np.ndarray, *, aligned: bool) -> np.ndarray:
    """Argmax (H, W) uint8 of the classes' shares in each cell, resized bilinearly with or without aligned corners."""
    import torch
    import torch.nn.functional as F

    known = torch.from_numpy(np.where(truth == IGNORED, 0, truth)).long()
    shares = F.avg_pool2d(F.one_hot(known).permute(2, 0, 1)[None].float(), STRIDE)
    return F.interpolate(shares, truth.shape, mode="bilinear", align_corners=aligned).argmax(1)[0].byte().numpy()
