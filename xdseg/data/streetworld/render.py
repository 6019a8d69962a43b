"""One scene of streetworld, image and label."""

import numpy as np

from xdseg.data.streetworld.settings import DOMAINS, SPLITS, Streetworld
from xdseg.errors import BadInput, suggest


def render(settings: Streetworld, *, domain: str, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) RGB and label (H, W), both uint8."""
    if domain not in DOMAINS:
        raise BadInput(f"unknown streetworld domain {domain!r}; {suggest(domain, DOMAINS)}")
    if split not in SPLITS:
        raise BadInput(f"unknown streetworld split {split!r}; {suggest(split, SPLITS)}")
    rng = np.random.default_rng([settings.seed, DOMAINS.index(domain), SPLITS.index(split), index])
    small = rng.integers(0, 14, (settings.height // 16, settings.width // 16), dtype=np.uint8)
    label = small.repeat(16, 0).repeat(16, 1)
    image = np.stack([label * 17, 255 - label * 17, label * 5], axis=-1)
    return image, label
