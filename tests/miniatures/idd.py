"""A small IDD: labels are rectangles in JSON, filled here by slices."""

import json
from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, photograph, save

NAMES = """
road, parking, drivable fallback, sidewalk, rail track, non-drivable fallback, person, animal, rider, motorcycle,
bicycle, autorickshaw, car, truck, bus, caravan, trailer, train, vehicle fallback, curb, wall, fence, guard rail,
billboard, traffic sign, traffic light, pole, polegroup, obs-str-bar-fallback, building, bridge, tunnel, vegetation,
sky, fallback background, unlabeled, ego vehicle, rectification border, out of roi, license plate
"""  # of anue_labels.py, by id
LABELS = [name.strip() for name in NAMES.split(",")]
UNLABELED = 35
DRIVES = {"train": ("10", "1"), "val": ("119",), "test": ("5",)}


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images a drive; every id is drawn in the first of each."""
    rng = np.random.default_rng(seed)
    written: Written = {}
    for split, drives in DRIVES.items():
        pairs = written[split, None] = {}
        for drive in drives:
            for _ in range(count):
                frame = f"{rng.integers(10**6):06d}"
                image = save(root / "leftImg8bit" / split / drive / f"{frame}_leftImg8bit.png", photograph(rng, size))
                labels = root / "gtFine" / split / drive
                label = None if split == "test" else _annotate(labels / f"{frame}_gtFine_polygons.json", rng, size)
                pairs[f"{drive}_{frame}"] = image, label
                litter(labels / f"{frame}_gtFine_labellevel3Ids.png", labels / f"._{frame}_gtFine_polygons.json")
            litter(root / "leftImg8bit" / split / drive / ".DS_Store")
    return written


def _annotate(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Rectangles over one another, some of them half outside; returns the ids."""
    height, width = size
    label = np.full(size, UNLABELED, np.uint8)
    objects = []
    for raw in rng.permutation(len(LABELS)).tolist():
        top, left = int(rng.integers(-9, height - 6)), int(rng.integers(-9, width - 6))
        bottom, right = top + int(rng.integers(6, 16)), left + int(rng.integers(6, 16))
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        objects.append(
            {"date": "", "deleted": 0, "draw": True, "label": LABELS[raw], "polygon": corners, "verified": 0}
        )
        label[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = raw
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects}))
    return label
