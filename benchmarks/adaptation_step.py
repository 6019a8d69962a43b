"""What each method of adaptation adds to a training step: time and memory beside source-only, and the passes it makes.

Methods of params.yaml at tiny scale, on made scenes, one batch, in one process and in turns: whole updates, with
optimiser and teacher. Ratios are to the row without adaptation on the same segmenter. Passes are counted while a step
runs: images that the student encodes and decodes with gradients, that the teacher and the network before training see.

Bounds: `dacs` takes at most 1.15 times a bare step of the same passes, written by hand; at test time a network trained
with masked feature modeling takes as long as its host, within 5%.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import measure
import torch
from memory import peak_memory
from train_step import PARAMS, free_choice_of_kernels, make_job

from xdseg.data.loading import Batch, StepBatches
from xdseg.data.store import open_store
from xdseg.data.tensors import normalise
from xdseg.merging import merge
from xdseg.params import parse, read_yaml
from xdseg.segmenters.contract import Segmenter
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Training
from xdseg.training import device as devices
from xdseg.training.job import Split, TrainingJob
from xdseg.training.loop import Run

MOST, TEST_TIME = 1.15, 1.05
FAMILIES = {  # the row without adaptation, and those that are set beside it
    "source-only": ("adaptsegnet", "advent", "minent", "dacs", "dacs+mfm"),
    "source-only-daformer": ("daformer", "daformer+mfm", "mic", "mic+mfm"),
    "source-only-hrda": ("hrda", "hrda+mfm"),
    "source-only-eomt": ("eomt+dacs", "eomt+mic", "eomt+mic+mfm"),
}
QUICK = {"source-only": ("dacs", "dacs+mfm")}
SELF_TRAINING = "dacs"  # the one whose floor is measured
STUDENT, TEACHER, REFERENCE = ("encodes", "decodes"), "teacher's", "reference's"
COUNTED = (*STUDENT, TEACHER, REFERENCE)
ROUNDS, TEST_ROUNDS, QUICK_ROUNDS = 9, 15, 3
STEPS = 1000  # of the schedule, of which a few are taken
EMA = 0.01  # what a teacher takes over of its student


@dataclass(frozen=True)
class Arm:
    """One method, ready to take a step."""

    run: Run
    batch: Batch

    def __call__(self) -> None:
        """One whole update."""
        self.run.update(self.batch)


def method_job(folder: Path, method: str, *, quick: bool) -> TrainingJob:
    """The job of a method on made scenes; its target is the same scenes without labels."""
    params = parse(read_yaml(PARAMS))
    definition = params.methods[method]
    job = make_job(folder, definition.segmenter, quick=quick, steps=STEPS)
    recipe = merge(job.training.model_dump(exclude_unset=True), definition.training)
    target = Split("target", open_store(folder / "images.json"), None) if definition.setting == "uda" else None
    adaptations = tuple(params.component("adaptations", name) for name in definition.adaptations)
    return replace(job, adaptations=adaptations, training=Training(**recipe), target=target)


def make_arm(folder: Path, method: str, *, quick: bool) -> Arm:
    """A run that has not begun, and the first batch that it would see."""
    folder.mkdir(parents=True)
    job = method_job(folder, method, quick=quick)
    return Arm(Run(job, folder / "run", Runtime()), StepBatches(job)[0])


@contextmanager
def counted(network: Segmenter | None, names: Mapping[str, str], into: Counter) -> Iterator[None]:
    """Counts calls of a network's methods, those with gradients where it is the student; `names` are the counts'."""
    originals = {method: getattr(network, method) for method in names if network is not None}

    def counting(method: str, *arguments: object, **options: object) -> object:
        if torch.is_grad_enabled() == (names[method] in STUDENT):
            into[names[method]] += 1
        return originals[method](*arguments, **options)

    for method in originals:
        setattr(network, method, partial(counting, method))
    try:
        yield
    finally:
        for method in originals:
            delattr(network, method)


def passes(arm: Arm) -> Counter:
    """Passes of one step, each of a whole batch."""
    found: Counter = Counter()
    module = arm.run.module
    teacher = module.teacher and module.teacher.segmenter
    with ExitStack() as stack:
        stack.enter_context(counted(module.segmenter, dict(zip(("encode", "decode"), STUDENT, strict=True)), found))
        stack.enter_context(counted(teacher, {"predict": TEACHER}, found))
        stack.enter_context(counted(module.reference, {"maps": REFERENCE}, found))
        arm()
    return found


def floor(arm: Arm) -> Callable[[], None]:
    """The passes of `dacs` and nothing else: two of the student, one of the teacher, AdamW, and the average."""
    run, recipe = arm.run, arm.run.job.training
    student, teacher = (deepcopy(run.module.segmenter).train() for _ in range(2))
    optimiser = torch.optim.AdamW(student.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    source, target = (normalise(part.images) for part in (arm.batch.source, arm.batch.target))
    labels = arm.batch.source.labels.long()

    def step() -> None:
        with free_choice_of_kernels():
            optimiser.zero_grad()
            with devices.autocast(run.device, recipe.precision):
                with torch.no_grad():
                    given = teacher.predict(target).argmax(1)
                first = student.decode(student.encode(source)).loss(labels)
                second = student.decode(student.encode(target)).loss(given)
            (sum(first.values()) + sum(second.values())).backward()
            optimiser.step()
            with torch.no_grad():
                for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
                    mine.lerp_(theirs, EMA)

    return step


def family(floor_row: str, methods: tuple[str, ...], found: measure.Results, *, quick: bool, scratch: Path) -> None:
    """Add the figures of one segmenter's rows."""
    rows = {name: make_arm(scratch / name, name, quick=quick) for name in (floor_row, *methods)}
    arms: dict[str, Callable[[], None]] = dict(rows)
    if SELF_TRAINING in rows:
        arms["floor"] = floor(rows[SELF_TRAINING])
    seconds = measure.in_turns(arms, rounds=QUICK_ROUNDS if quick else ROUNDS, clock=clock(), warmup=2)
    for name, arm in rows.items():
        add_step(found, name, arm, measure.ratios(seconds[name], seconds[floor_row]), floor_row)
    if "floor" in arms:
        about, ratio = (
            "dacs: step / a bare step of its passes",
            measure.ratios(seconds[SELF_TRAINING], seconds["floor"]),
        )
        found.bounded.append(measure.Figure("dacs_floor", ratio, most=MOST, about=about))
    for name in methods:
        host = name.removesuffix("+mfm")
        if host != name and host in rows:
            at_test_time(rows[host], rows[name], name, found, quick=quick)


def add_step(found: measure.Results, name: str, arm: Arm, ratio: list[float], floor_row: str) -> None:
    """Add time, passes and memory of one row."""
    count, device = passes(arm), arm.run.device
    told = ", ".join(f"{count[key]} {key}" for key in COUNTED if count[key])
    found.notes.setdefault("passes", {})[name] = dict(count)
    found.others.append(measure.Figure(f"step_{name}", ratio, about=f"{name} ({told}): step / {floor_row}"))
    peak = [peak_memory(arm, device)]
    found.others.append(measure.Figure(f"mib_{name}", peak, unit="MiB", about=f"{name}: peak of a step"))


def clock() -> Callable[[], float]:
    """Seconds of the processor, or of the wall where a GPU works."""
    return time.perf_counter if torch.cuda.is_available() else time.process_time


def at_test_time(host: Arm, arm: Arm, name: str, found: measure.Results, *, quick: bool) -> None:
    """Add what a prediction of `name` takes beside one of its host."""
    states = [set(one.run.module.inference_state()) for one in (host, arm)]
    if states[0] != states[1]:
        raise SystemExit(f"adaptation_step: {name} saves other parameters than its host")
    pixels = normalise(arm.batch.target.images)
    with torch.inference_mode():
        networks = {key: one.run.module.segmenter.eval() for key, one in (("host", host), ("mfm", arm))}
        pair = {key: partial(network.predict, pixels) for key, network in networks.items()}
        seconds = measure.in_turns(pair, rounds=QUICK_ROUNDS if quick else TEST_ROUNDS, clock=clock(), warmup=2)
    ratio = measure.ratios(seconds["mfm"], seconds["host"])
    key = name.replace("+", "_")
    found.bounded.append(
        measure.Figure(f"predict_{key}", ratio, most=TEST_TIME, about=f"{name}: prediction / its host's")
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    found = measure.Results()
    for row, methods in (QUICK if chosen.quick else FAMILIES).items():
        with TemporaryDirectory() as scratch, devices.reproducible():
            family(row, methods, found, quick=chosen.quick, scratch=Path(scratch))
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
