"""A small WildDash 2: panoptic segments, several of one category, and pixels of no segment."""

import json
from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

CATEGORIES = range(81)


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images with all 81 categories where there is room."""
    rng = np.random.default_rng(seed)
    pairs: dict = {}
    images, annotations = [], []
    for number in range(count):
        name = f"aa{number:04d}_100000"
        image = save(root / "images" / f"{name}.jpg", photograph(rng, size))
        label = mixed(rng, size, CATEGORIES)
        segments = _segments(rng)
        annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
        images.append({"id": number, "file_name": f"{name}.jpg", "height": size[0], "width": size[1]})
        save(root / "panoptic" / f"{name}.png", _coloured(label, segments))
        label[:2] = 0  # of no segment
        pairs[name] = image, label
        litter(root / "images" / f"._{name}.jpg", root / "panoptic" / f"{name}.txt")
    categories = [{"id": raw, "name": f"category {raw}", "isthing": raw % 2} for raw in CATEGORIES]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (root / "panoptic.json").write_text(json.dumps(contents))
    litter(root / "instances.json", root / "licence.txt")
    return {("full", None): pairs}


def _segments(rng: np.random.Generator) -> list[dict]:
    """Two segments a category, for its upper and its lower half of the image."""
    ids = rng.choice(2**24 - 1, 2 * len(CATEGORIES), replace=False) + 1
    return [
        {"id": int(segment), "category_id": position // 2, "iscrowd": 0, "area": 1}
        for position, segment in enumerate(ids)
    ]


def _coloured(label: np.ndarray, segments: list[dict]) -> np.ndarray:
    lower = (np.arange(len(label)) >= len(label) // 2)[:, None]
    ids = np.array([entry["id"] for entry in segments])[2 * label.astype(int) + lower]
    ids[:2] = 0
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
