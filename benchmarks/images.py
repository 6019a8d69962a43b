"""Images that the benchmarks make for themselves: streetworld's scenes, and what a network would predict for them."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from xdseg.data.streetworld.render import render
from xdseg.data.streetworld.settings import DOMAINS, Streetworld

IGNORED = 255
STRIDE = 8  # of the grid on which a prediction is made
DOUBT = 0.35  # deviation of its noise, where a cell wholly of one class scores 1
FRAME = 0.02  # share of the height at the bottom that labels leave out, as a bonnet


def scenes(count: int, *, height: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Image (H, W, 3) and label (H, W), uint8, of several domains; the lowest rows of a label are ignored."""
    settings = Streetworld(height=height, width=width)
    found = []
    for index in range(count):
        image, label = render(settings, domain=DOMAINS[index % len(DOMAINS)], split="train", index=index)
        label[round(height * (1 - FRAME)) :] = IGNORED
        found.append((image, label))
    return found


def predicted(label: np.ndarray, *, classes: int, seed: int) -> np.ndarray:
    """Class ids (H, W) uint8 as networks give them: noisy scores on a coarse grid, resized bilinearly, argmax."""
    known = torch.from_numpy(np.where(label == IGNORED, 0, label)).long()
    shares = F.one_hot(known, classes).permute(2, 0, 1)[None].float()
    coarse = F.avg_pool2d(shares, STRIDE)
    coarse += DOUBT * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(seed))
    scores = F.interpolate(coarse, label.shape, mode="bilinear", align_corners=False)
    return scores.argmax(1)[0].to(torch.uint8).numpy()


def save(folder: Path, pairs: list[tuple[np.ndarray, np.ndarray]], *, ending: str) -> dict[str, list[Path]]:
    """Write images in the format of `ending` and labels as PNG; returns their paths."""
    paths: dict[str, list[Path]] = {"images": [], "labels": []}
    for number, (image, label) in enumerate(pairs):
        for what, pixels, end in (("images", image, ending), ("labels", label, "png")):
            path = folder / what / f"{number:03d}.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, **({"quality": 95} if end == "jpg" else {}))
            paths[what].append(path)
    return paths
