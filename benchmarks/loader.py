"""Loading training batches: from the decoded cache, and decoding and resizing each image whenever it is drawn.

480 × 360 JPEG with crops of 128 (params.yaml) and 1024 × 2048 PNG with crops of 512 (the field's usual), labels as PNG,
batches of 4 on one thread, files in the page cache. The augmentation is inside all arms.

Bound: the cache gives at least 5 × as many images as the plain dataset of most training code, which decodes, resizes
the whole image, crops and flips. Measured besides: this project's own loading without a cache, which resizes the crop
alone; its batches are checked to be equal, so these two arms differ in the cache alone; and larger crops.
"""

import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import images
import measure
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xdseg.data.loading import StepBatches
from xdseg.data.pixels import read_image, read_label
from xdseg.data.store import open_store, write_file_store, write_store
from xdseg.settings.segmenters import DeepLabV3Plus
from xdseg.settings.training import Augmentation, Training
from xdseg.training.job import Split, TrainingJob

BOUND = 5
BATCH = 4
SCALE = (0.5, 2.0)
STEPS = 1_000_000  # more than anything here draws
READERS = {"images": read_image, "labels": read_label}

Paths = dict[str, list[Path]]


def batches(folder: Path, paths: Paths, *, cached: bool, crop: int) -> StepBatches:
    """What training draws from, decoded ahead or on the fly."""
    stores = {}
    for what, read in READERS.items():
        index = folder / f"{what}-{'cached' if cached else 'files'}.json"
        names = [path.stem for path in paths[what]]
        if not index.exists() and cached:
            write_store(index, names=names, arrays=map(read, paths[what]), digest="")
        elif not index.exists():
            shapes = [read(path).shape for path in paths[what]]
            write_file_store(index, names=names, files=paths[what], shapes=shapes, digest="")
        stores[what] = open_store(index)
    job = TrainingJob(
        fingerprint="",
        segmenter="deeplabv3plus",
        segmenter_settings=DeepLabV3Plus(),
        adaptations=(),
        training=Training(steps=STEPS, batch=BATCH, lr=1e-3),
        augmentation=Augmentation(crop=crop, scale=SCALE),
        classes=("any",),
        ignore_index=images.IGNORED,
        seed=0,
        source=(Split("made", stores["images"], stores["labels"]),),
        target=None,
    )
    return StepBatches(job)


def drawing(source: StepBatches) -> Callable[[], object]:
    """Draws the next batch at each call."""
    steps = count()
    return lambda: source[next(steps)]


def plain(paths: Paths, crop: int) -> Callable[[], tuple[Tensor, Tensor]]:
    """The dataset of most training code: decode, resize the whole image, crop, flip; pads what is too small."""
    draws, order = np.random.default_rng(0), count()

    def item() -> tuple[np.ndarray, np.ndarray]:
        number = next(order) % len(paths["images"])
        image = Image.open(paths["images"][number]).convert("RGB")
        label = Image.open(paths["labels"][number])
        factor = draws.uniform(*SCALE)
        size = (round(image.width * factor), round(image.height * factor))
        pixels = np.array(image.resize(size, Image.Resampling.BILINEAR))
        ids = np.array(label.resize(size, Image.Resampling.NEAREST))
        below, right = max(crop - size[1], 0), max(crop - size[0], 0)
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)))
        ids = np.pad(ids, ((0, below), (0, right)), constant_values=images.IGNORED)
        top, left = (draws.integers(side - crop + 1) for side in ids.shape)
        window = (slice(top, top + crop), slice(left, left + crop))
        turn = slice(None, None, -1 if draws.random() < 0.5 else 1)
        return np.ascontiguousarray(pixels[window][:, turn]), np.ascontiguousarray(ids[window][:, turn])

    def batch() -> tuple[Tensor, Tensor]:
        pixels, ids = zip(*(item() for _ in range(BATCH)), strict=True)
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(ids))

    return batch


def check_equal(cached: StepBatches, decoded: StepBatches) -> None:
    """Both give the same batch, or nothing may be compared."""
    one, other = cached[3].source, decoded[3].source
    if not (torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)):
        raise SystemExit("loader: the two arms give other batches")


def measured(size: tuple[int, int], ending: str, crops: tuple[int, ...], *, count: int, rounds: int):
    """Ratios by crop, to decoding and to the plain dataset, and milliseconds per image of each arm at the first."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = images.save(folder, images.scenes(count, height=size[0], width=size[1]), ending=ending)
        found = {}
        for crop in crops:
            cached, decoded = (batches(folder, paths, cached=kept, crop=crop) for kept in (True, False))
            check_equal(cached, decoded)
            arms = {"cached": drawing(cached), "decoded": drawing(decoded), "plain": plain(paths, crop)}
            found[crop] = measure.in_turns(arms, rounds=rounds, clock=time.process_time, warmup=count)
        return found


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    small = ((90, 120), "jpg", (32, 64), 2) if chosen.quick else ((360, 480), "jpg", (128, 256), 8)
    large = ((128, 256), "png", (64,), 2) if chosen.quick else ((1024, 2048), "png", (512,), 4)
    rounds = 5 if chosen.quick else 20
    found = measure.Results(notes={"batch": BATCH, "scale": SCALE})
    for kind, (size, ending, crops, number) in (("jpeg", small), ("png", large)):
        seconds = measured(size, ending, crops, count=number, rounds=rounds)
        name = f"{size[1]} × {size[0]} {kind.upper()}" if kind == "jpeg" else f"{size[0]} × {size[1]} {kind.upper()}"
        found.notes[kind] = {"size": size, "crops": crops, "images": number}
        for place, (crop, arms) in enumerate(seconds.items()):
            resized = measure.ratios(arms["plain"], arms["cached"])
            about = f"{name}, crop {crop}: decoding and resizing / cached"
            if place == 0:
                found.bounded.append(measure.Figure(f"loader_{kind}", resized, least=BOUND, about=about))
            else:
                found.others.append(measure.Figure(f"loader_{kind}_crop_{crop}", resized, about=about))
            decoded = measure.ratios(arms["decoded"], arms["cached"])
            about = f"{name}, crop {crop}: the same code without a cache / cached"
            found.others.append(measure.Figure(f"uncached_{kind}_crop_{crop}", decoded, about=about))
            for arm in arms if place == 0 else ():
                spent = [1e3 * s / BATCH for s in arms[arm]]
                about = f"{name}, crop {crop}: {arm}, per image"
                found.others.append(measure.Figure(f"ms_{kind}_{arm}", spent, unit="ms", about=about))
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
