"""The training loop against a bare step: same network, optimiser and autocast, on a batch that lies ready.

The loop is the one that trains every run here, with all that it does besides: loading and augmenting batches, learning
rates, checks for losses that are not finite, the curve, saving its state. The bare step is forward, cross entropy,
backward and AdamW on one normalised batch. After each step of the loop comes a bare one, in the same process, and the
ratio is taken step by step; saving is measured by itself and spread over the 50 steps between two saves.

Bound: the loop reaches at least 0.95 of the bare step's speed.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import images
import measure
import torch
import torch.nn.functional as F

from xdseg.data.loading import Batch, StepBatches
from xdseg.data.pixels import read_image, read_label
from xdseg.data.store import open_store, write_store
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.tensors import normalise
from xdseg.params import parse, read_yaml
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Augmentation, Training
from xdseg.training import device as devices
from xdseg.training.job import Split, TrainingJob
from xdseg.training.loop import Run

BOUND = 0.95
SAVES = 10  # steps between two saves here, so that there are several to measure
PARAMS = Path(__file__).parents[1] / "params.yaml"


class Timed(Run):
    """The loop, which hands over to `between` after each step; times itself without that."""

    def __init__(self, job: TrainingJob, folder: Path, runtime: Runtime) -> None:
        super().__init__(job, folder, runtime)
        self.clock = time.perf_counter if self.device.type == "cuda" else time.process_time
        self.between: Callable[[], None] = lambda: None
        self.steps: list[float] = []  # seconds, without saving
        self.saves: list[float] = []
        self.bare: list[float] = []
        self.last: float | None = None

    def update(self, batch: Batch) -> dict[str, float]:
        """One step of the loop, then one bare step; what lies between two updates belongs to the loop."""
        losses = super().update(batch)
        self._sync()
        self._end_of_loop_step()
        began = self.clock()
        self.between()
        self._sync()
        self.bare.append(self.clock() - began)
        self.last = self.clock()
        return losses

    def _end_of_loop_step(self) -> None:
        """A step runs from the end of the one before, so that loading and reporting count."""
        if self.last is not None:
            self.steps.append(self.clock() - self.last)

    def save(self) -> None:
        """Save the state, timed by itself."""
        began = self.clock()
        super().save()
        self.saves.append(self.clock() - began)
        self.last += self.saves[-1]

    def _sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def bare_step(run: Run, batch: Batch) -> Callable[[], None]:
    """What one would write by hand, on a copy of the run's network."""
    network, recipe = deepcopy(run.module.segmenter), run.job.training
    pixels = normalise(batch.source.images.to(run.device))
    labels = batch.source.labels.to(run.device).long()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)

    def step() -> None:
        with free_choice_of_kernels():
            optimiser.zero_grad()
            with devices.autocast(run.device, recipe.precision):
                scores = network.decode(network.encode(pixels)).scores(tuple(labels.shape[-2:]))
                loss = F.cross_entropy(scores, labels, ignore_index=images.IGNORED)
            loss.backward()
            optimiser.step()

    return step


@contextmanager
def free_choice_of_kernels() -> Iterator[None]:
    """Without the loop's demand for deterministic kernels, which a bare step would not make."""
    torch.use_deterministic_algorithms(False)
    try:
        with torch.backends.cudnn.flags(benchmark=True, deterministic=False):
            yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def make_job(folder: Path, segmenter: str, *, quick: bool, steps: int) -> TrainingJob:
    """A source-only run of params.yaml on scenes of streetworld's own size, or on small ones."""
    params = parse(read_yaml(PARAMS))
    protocol = params.protocols[params.grid.protocol]
    kind, settings = params.component("segmenters", segmenter)
    small = {"batch": 2} if quick else {}
    paths = images.save(folder, images.scenes(4 if quick else 16, height=160, width=320), ending="png")
    for what, read in (("images", read_image), ("labels", read_label)):
        names = [path.stem for path in paths[what]]
        write_store(folder / f"{what}.json", names=names, arrays=map(read, paths[what]), digest="")
    stores = [open_store(folder / f"{what}.json") for what in ("images", "labels")]
    return TrainingJob(
        fingerprint="",
        segmenter=kind,
        segmenter_settings=settings,
        adaptations=(),
        training=Training(**(protocol.training | {"steps": steps} | small)),
        augmentation=Augmentation(**(protocol.augmentation | ({"crop": 64} if quick else {}))),
        classes=CLASSES,
        ignore_index=images.IGNORED,
        seed=0,
        source=(Split("made", *stores),),
        target=None,
    )


def measured(segmenter: str, *, quick: bool) -> dict[str, list[float]]:
    """Seconds of the loop's steps, of the bare ones and of saving."""
    warmup, steps = (2, 12) if quick else (5, 45)
    with TemporaryDirectory() as scratch, devices.reproducible():
        job = make_job(Path(scratch), segmenter, quick=quick, steps=warmup + steps)
        run = Timed(job, Path(scratch) / "run", Runtime(checkpoint_every=SAVES))
        run.folder.mkdir()
        run.between = bare_step(run, StepBatches(job)[0])
        run.go()
    # the loop's step n comes after the bare step n - 1 and before the bare step n
    return {"loop": run.steps[warmup:], "bare": run.bare[1 + warmup :], "save": run.saves}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    found = measure.Results(notes={"steps_between_saves": Runtime().checkpoint_every})
    for segmenter in ("deeplabv3plus",) if chosen.quick else ("deeplabv3plus", "segformer"):
        seconds = measured(segmenter, quick=chosen.quick)
        saving = median(seconds["save"]) / Runtime().checkpoint_every
        speed = [bare / (loop + saving) for bare, loop in zip(seconds["bare"], seconds["loop"], strict=True)]
        about = f"{segmenter}: speed of the loop / of a bare step"
        found.bounded.append(measure.Figure(f"train_step_{segmenter}", speed, least=BOUND, about=about))
        for what in ("loop", "bare", "save"):
            spent = [1e3 * s for s in seconds[what]]
            about = f"{segmenter}: {what if what == 'save' else what + ' step'}"
            found.others.append(measure.Figure(f"ms_{segmenter}_{what}", spent, unit="ms", about=about))
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
