"""`xdseg predict RUN FOLDER`: a trained run segments any images; class ids and overlays go to a new folder.

The same network, normalisation, precision and inference as in the run's own evaluation: an image of its target gives
the bytes that were scored.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from xdseg.canonical import short
from xdseg.data.photographs import find_images, read_upright, remarks
from xdseg.errors import BadInput
from xdseg.evaluation.overlay import overlay
from xdseg.evaluation.predictions import encode_png
from xdseg.files import temporary_folder, write_json
from xdseg.palette import colours
from xdseg.process import now, provenance
from xdseg.settings.evaluation import Inference
from xdseg.trained import RECEIPT, TrainedRun, chosen_inference, read_run

OUTPUT = Path("segmented")
SUMMARY = "segmented.json"  # tells a folder of results, which is never taken for one of images
IDS, OVERLAYS = "ids", "overlays"
QUALITY = 92  # of overlays, JPEG without subsampled colour: a class's edge stays where it is
FAULTS = 20  # broken images that one error spells out
PATIENCE = 10  # seconds between two lines of progress


def segment(
    folder: Path,
    images: Path,
    *,
    out: Path | None = None,
    device: str = "auto",
    asked: dict[str, Any] | None = None,
    plugins: Callable[[], Any] | None = None,
) -> Path:
    """Segment an image, or those in a folder and below, with the run in `folder`; returns the folder of results.

    `out` gets ids/NAME.png (class ids, 8 bits, the image's size), overlays/NAME.jpg and segmented.json; it appears
    when all is done. `asked` holds settings of Inference, `plugins` registers further segmenters where one is needed.
    Raises BadInput for a run, image or setting that cannot be used, and if `out` holds anything.
    """
    run = read_run(folder.parent if folder.name == RECEIPT else folder, plugins=plugins)
    inference, said = chosen_inference(run, asked or {})
    files, others = find_images(images, skip=lambda below: (below / SUMMARY).exists())
    out = out or OUTPUT / f"{images.resolve().name}-{short(run.fingerprint)}"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: is there already; name a new folder with --out")
    print(f"{_counted(len(files), 'image')}, {said}", flush=True)
    if others:
        print(f"{_counted(others, 'other file')} left alone", flush=True)
    for line in checked_images(files.values()):
        print(line, flush=True)
    with temporary_folder(out) as unfinished:
        summary = _segment(run, files, unfinished, device=device, inference=inference)
        write_json(unfinished / SUMMARY, summary)
    print(f"{out}: {IDS}/ and {OVERLAYS}/ of {_counted(len(files), 'image')}, {SUMMARY}", flush=True)
    return out


def checked_images(paths: Iterable[Path]) -> list[str]:
    """Lines about what reading changes. Every image is decoded, so that a broken one ends it before any is segmented.

    Raises BadInput with a line for each image that cannot be read.
    """
    faults, changes = [], Counter()
    for path in paths:
        try:
            read_upright(path)
            changes.update(remarks(path))
        except BadInput as error:
            faults.append(str(error))
    if faults:
        more = [f"and {len(faults) - FAULTS} more images that cannot be read"] if len(faults) > FAULTS else []
        raise BadInput("\n".join([*faults[:FAULTS], *more]))
    return [f"{_counted(count, 'image')}: {change}" for change, count in sorted(changes.items())]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _segment(
    run: TrainedRun, files: dict[str, Path], out: Path, *, device: str, inference: Inference
) -> dict[str, Any]:
    """Write the results of all images into `out`; returns what segmented.json says."""
    from xdseg.training import device as devices  # imports torch, which bad input does not need
    from xdseg.training.checkpoint import load_segmenter

    began = said = time.perf_counter()
    listed = {}
    with devices.reproducible():
        about = {"classes": run.classes, "fingerprint": run.fingerprint, "adaptations": run.adaptations}
        network = load_segmenter(run.folder, segmenter=run.segmenter, settings=run.settings, **about).to(
            devices.resolve(device)
        )
        where = devices.name(next(network.parameters()).device)
        for number, (name, path) in enumerate(files.items(), start=1):
            image = read_upright(path)
            ids = _class_ids(network, image, path, inference=inference, precision=run.precision)
            _write(out, name, image, ids, run.classes)
            listed[name] = {"file": str(path), "size": list(ids.shape)}
            if time.perf_counter() - said > PATIENCE:
                said = time.perf_counter()
                print(f"{number}/{len(files)} images, {number / (said - began):.2f} images/s", flush=True)
    named = zip(run.classes, colours(run.classes), strict=True)
    classes = [{"id": i, "name": name, "colour": f"#{bytes(colour).hex()}"} for i, (name, colour) in enumerate(named)]
    return {
        "run": str(run.folder),
        "fingerprint": run.fingerprint,
        "segmenter": run.segmenter,
        "classes": classes,
        "inference": inference.model_dump(mode="json"),
        "precision": run.precision,
        "images": listed,
        "environment": provenance() | {"device": where, "ended": now()},
    }


def _class_ids(network: Any, image: np.ndarray, path: Path, *, inference: Inference, precision: str) -> np.ndarray:
    from xdseg.evaluation.inference import class_ids

    size = image.shape[:2]
    try:
        return class_ids(network, image, settings=inference, size=size, precision=precision)
    except RuntimeError as error:  # what torch raises where memory is short, on every device
        if "memory" not in str(error):
            raise
        pixels = " x ".join(map(str, size))
        raise BadInput(f"{path}: {pixels} pixels take more memory than there is; add --window and --stride") from error


def _write(out: Path, name: str, image: np.ndarray, ids: np.ndarray, classes: tuple[str, ...]) -> None:
    png, jpeg = out / IDS / f"{name}.png", out / OVERLAYS / f"{name}.jpg"
    for path in (png, jpeg):
        path.parent.mkdir(parents=True, exist_ok=True)
    png.write_bytes(encode_png(ids))
    overlay(image, ids, classes).save(jpeg, quality=QUALITY, subsampling=0)
