"""`xdseg predict RUN/predictions-….json`: one process segments all targets that the grid wants of a run."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xdseg.cells import Cell, Context, Run, find_run, predictions_path
from xdseg.data.store import PixelStore, open_store
from xdseg.errors import BadInput
from xdseg.files import file_digest, write_json
from xdseg.grid import expand
from xdseg.process import now, run_lock
from xdseg.records import check_named, read_json
from xdseg.settings.training import Training
from xdseg.stages import train as training
from xdseg.training.cards import held
from xdseg.workflow import cache_path

PREDICTIONS = "predictions.zip"
RECEIPT = "predictions.json"  # of one target, beside its zip


def predict(receipt: Path, context: Context) -> None:
    """Segment what is not segmented yet and write the receipt of all."""
    run = find_run(context, receipt.parent)
    cells = [cell for cell in expand(context).cells if cell.run.key == run.key]
    if str(predictions_path(run, cells)) != str(receipt):
        raise BadInput(f"{receipt}: the settings in force want other predictions of this run; run snakemake again")
    targets = {cell.pair.target: cell for cell in cells}
    with run_lock(run.folder):
        missing = [cell for cell in targets.values() if not _done(cell)]
        if missing:
            with held(context.params.runtime):
                _segment(run, missing)
        done = {target: read_json(cell.folder / RECEIPT) for target, cell in sorted(targets.items())}
        write_json(receipt, {"run": run.fingerprint, "targets": done})


def _done(cell: Cell) -> bool:
    path, receipt = cell.folder / PREDICTIONS, cell.folder / RECEIPT
    if not (path.exists() and receipt.exists()):
        return False
    said = read_json(receipt)
    return said["fingerprint"] == cell.predict and said["sha256"] == file_digest(path)


def check_predictions(cell: Cell) -> None:
    """Raises BadInput where a cell's predictions are not those that were written: cut short, changed, gone."""
    check_named(
        cell.folder / PREDICTIONS, cell.folder / RECEIPT, key="sha256", redo=f"{cell.run.folder}/predictions-*.json"
    )


def _segment(run: Run, cells: list[Cell]) -> None:
    from xdseg.training import device as devices  # imports torch, which adopting does not need
    from xdseg.training.checkpoint import load_segmenter

    trained = run.folder / training.RECEIPT
    check_named(run.folder / training.WEIGHTS, trained, key="weights", redo=str(trained))
    params, classes = run.context.params, run.context.lock.classes
    kind, settings = params.component("segmenters", run.definition.segmenter)
    adaptations = [params.component("adaptations", name) for name in run.definition.adaptations]
    about = {"classes": classes, "fingerprint": run.fingerprint, "adaptations": adaptations}
    with devices.reproducible():
        segmenter = load_segmenter(run.folder, segmenter=kind, settings=settings, **about).to(
            devices.resolve(params.runtime.device)
        )
        for cell in cells:
            _segment_target(segmenter, cell)


def _segment_target(segmenter: Any, cell: Cell) -> None:
    from xdseg.evaluation.predictions import write_predictions

    context = cell.context
    split = context.eval_split(cell.pair.target)
    images = open_store(Path(cache_path(context, cell.pair.target, split, "images")))
    started, began = now(), time.perf_counter()
    path = cell.folder / PREDICTIONS
    precision = context.recipe(cell.run.definition, "training", Training).precision
    write_predictions(path, _class_ids(segmenter, images, cell, precision))
    seconds = round(time.perf_counter() - began, 3)
    receipt = {"fingerprint": cell.predict, "sha256": file_digest(path), "images": len(images)}
    write_json(cell.folder / RECEIPT, receipt | {"seconds": seconds, "started": started})
    print(f"{cell.pair.target}: {len(images)} images in {seconds:.1f} s", flush=True)


def _class_ids(segmenter: Any, images: PixelStore, cell: Cell, precision: str) -> Iterator[tuple[str, np.ndarray]]:
    from xdseg.evaluation.inference import class_ids

    settings = cell.context.inference_on(cell.pair.target)
    for position, name in enumerate(images.names):
        image = images[position]
        size = image.shape[:2]  # the truth has its image's size; prepare holds every suite to it
        yield name, class_ids(segmenter, image, settings=settings, size=size, precision=precision)
