"""`xdseg train RUN/run.json`: one training, from what its setting grants to weights and a receipt."""

import sys
from pathlib import Path
from typing import Any

from xdseg.cells import Context, Run, find_run
from xdseg.data.store import open_store
from xdseg.errors import BadInput
from xdseg.files import file_digest, write_json
from xdseg.process import now, provenance
from xdseg.records import check_named, read_json
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Augmentation, Training
from xdseg.training.cards import held
from xdseg.training.job import Split, TrainingJob
from xdseg.training.launch import launch
from xdseg.training.processes import agreed, first_holds, is_first, joined, started
from xdseg.workflow import cache_path

RECEIPT, WEIGHTS = "run.json", "weights.safetensors"
RAN_ON = ("device", "precision", "torch", "scan", "processes")  # scan: of a selective one alone; processes: of several


def train(receipt: Path, context: Context) -> None:
    """Train a run, or adopt what lies in its folder, and write the receipt."""
    run = find_run(context, receipt.parent)
    if receipt.name != RECEIPT:
        raise BadInput(f"{receipt}: a run's receipt is called {RECEIPT}")
    runtime = context.params.runtime
    with first_holds(run.folder), joined(runtime):
        if agreed(_done(run, receipt)):
            if is_first():
                print(f"{run.name}: already trained", flush=True)
        elif started():  # who started this process holds the cards
            _train(run, receipt, runtime)
        else:
            with held(runtime, cards=runtime.processes):  # after the run: who waits for a run keeps no card idle
                _train_here(run, receipt, runtime)


def _train_here(run: Run, receipt: Path, runtime: Runtime) -> None:
    """Train in this process, or in copies of it, whose exit code becomes this one's."""
    if runtime.processes == 1:
        _train(run, receipt, runtime)
    elif code := launch(runtime.processes, sys.argv[1:]):
        sys.exit(code)


def _train(run: Run, receipt: Path, runtime: Runtime) -> None:
    """What this process does alone, or beside others that share its batches."""
    from xdseg.training.loop import train as run_training  # imports torch

    about = provenance() | {"started": now()}
    result = run_training(make_job(run), run.folder, runtime=runtime, about=about)
    if is_first():
        write_json(receipt, make_receipt(run, result))


def _done(run: Run, receipt: Path) -> bool:
    weights = run.folder / WEIGHTS
    if not (receipt.exists() and weights.exists()):
        return False
    said = read_json(receipt)
    return said.get("fingerprint") == run.fingerprint and said.get("weights") == file_digest(weights)


def make_job(run: Run) -> TrainingJob:
    """What the training process gets; the labels of a split that is not granted are not even named."""
    params, context = run.context.params, run.context
    kind, settings = params.component("segmenters", run.definition.segmenter)
    return TrainingJob(
        fingerprint=run.fingerprint,
        segmenter=kind,
        segmenter_settings=settings,
        adaptations=tuple(params.component("adaptations", name) for name in run.definition.adaptations),
        training=context.recipe(run.definition, "training", Training),
        augmentation=context.recipe(run.definition, "augmentation", Augmentation),
        classes=context.lock.classes,
        ignore_index=context.lock.ignore_index,
        seed=run.seed,
        source=tuple(_split(context, domain, context.train_split(domain), labels=True) for domain in run.source),
        target=_split(context, run.target, run.target_split, labels=run.sees_labels) if run.target else None,
        parent_weights=_parent_weights(run),
    )


def _split(context: Context, domain: str, split: str, *, labels: bool) -> Split:
    images = open_store(Path(cache_path(context, domain, split, "images")))
    granted = open_store(Path(cache_path(context, domain, split, "labels"))) if labels else None
    return Split(domain, images, granted, context.protocol.rules(domain).resize)


def _parent_weights(run: Run) -> Path | None:
    if run.parent is None:
        return None
    path = run.parent.folder / WEIGHTS
    if not path.exists():
        raise BadInput(f"{path}: the run that this one starts from has no weights; delete its run.json and run again")
    check_named(path, run.parent.folder / RECEIPT, key="weights", redo=f"{run.parent.folder / RECEIPT}")
    return path


def make_receipt(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    """run.json: what was trained, its hash, its costs and where it ran."""
    job_settings = {
        "segmenter": run.payload["segmenter"],
        "adaptations": run.payload["adaptations"],
        "training": run.context.recipe(run.definition, "training", Training).model_dump(mode="json"),
        "augmentation": run.context.recipe(run.definition, "augmentation", Augmentation).model_dump(mode="json"),
    }
    return {
        "fingerprint": run.fingerprint,
        "payload": run.payload,
        "settings": job_settings,
        "weights": result["weights_sha256"],
        "model": {key: result[key] for key in ("parameters", "trainable")},
        "costs": {key: result[key] for key in ("steps", "train_seconds", "images_per_second", "peak_memory_mb")},
        "environment": result["about"] | {key: result[key] for key in RAN_ON if key in result},
    }
