"""What TMT costs: clustering beside a loop over cells, ACTE and TMA beside their host in training and in testing.

In testing three arms share one network of params.yaml with drawn weights: the host; the host with a bias of zeros at
the sites that TMA leads, so that the same kernels run; TMT, whose gammas are not 0. In training, whole updates of
fine-tuning rows: alone, with regions and their discriminator (which also pass source images, as far as the map), and
with attention led. Time, peak memory and multiply-accumulates; testing against the image's side too.

Bounds: clustering is at least 20 times as fast as a loop over cells, and its time grows at most as pixels to the 1.1,
from any side of 64 or more to its double.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import measure
import torch
import torch.nn.functional as F
from memory import peak_memory
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from train_step import PARAMS, make_job

from xdseg.adaptations.build import build_adaptations
from xdseg.adaptations.tmt.clustering import EPSILON, cluster
from xdseg.data.loading import Batch, StepBatches
from xdseg.data.store import open_store
from xdseg.merging import merge
from xdseg.params import parse, read_yaml
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.contract import Features, Site, Size, Steer
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Training
from xdseg.training import device as devices
from xdseg.training.job import Split, TrainingJob
from xdseg.training.loop import Run

FASTER, EXPONENT = 20, 1.1
SHARPNESS, ITERATIONS = 20.0, 3  # kappa, L
SIDES = (32, 64, 128, 256, 512)  # of maps, whose clustering is timed
HOSTS = {"daformer": "tmt", "eomt": "tmt-both"}  # segmenters, and what leads them
TEST_SIDES = {"daformer": (128, 256, 512), "eomt": (128, 256)}  # of images
ROWS = {
    "daformer": ("fine-tune-daformer", "region-adversarial-daformer", "tmt-daformer"),
    "eomt": ("fine-tune-eomt", "region-adversarial-eomt", "tmt-eomt"),
}
ROUNDS, QUICK_ROUNDS = 5, 2
STEPS, LATE = 1000, 500  # of the schedule; the step that is taken, where TMA's strength is near 1
GAMMA = 0.5
FLOPS_PER_MAC, GIGA = 2, 1e9
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Shape:
    """A map that is clustered."""

    side: int
    cell: int
    width: int

    def __str__(self) -> str:
        return f"{self.side}² x {self.width}, cells of {self.cell}²"

    def map(self) -> Tensor:
        """(1, D, h, w) of noise, in the layout of a projected map."""
        draws = torch.Generator().manual_seed(0)
        return torch.randn(1, self.side, self.side, self.width, generator=draws).permute(0, 3, 1, 2)

    def ours(self) -> Callable[[], Tensor]:
        """The features of the regions, made as in training."""
        how = {"cell": self.cell, "iterations": ITERATIONS, "sharpness": SHARPNESS}
        x = self.map()
        return lambda: cluster(x, **how).features


TINY = Shape(32, 2, 64)  # 512 pixels at stride 16, as in the rows of params.yaml
LARGE = Shape(64, 4, 256)  # 512 pixels at stride 8, at the width of a paper's network


def by_cells(x: Tensor, cell: int) -> Tensor:
    """f(r) (B, D, G, H) of (B, D, h, w) as one would write it first: cell after cell, each with its neighbours."""
    rows, columns = x.shape[2] // cell, x.shape[3] // cell
    places = list(product(range(rows), range(columns)))
    blocks = x.unflatten(3, (columns, cell)).unflatten(2, (rows, cell))  # (B, D, G, c, H, c)
    pixels = {(i, j): blocks[:, :, i, :, j].flatten(2) for i, j in places}
    features = {place: pixels[place].mean(2) for place in places}
    for _ in range(ITERATIONS):
        sums = {place: torch.zeros_like(features[place]) for place in places}
        masses = {place: torch.zeros(len(x), 1) for place in places}
        for i, j in places:
            around = [(i + m, j + n) for m, n in product((-1, 0, 1), repeat=2) if (i + m, j + n) in pixels]
            near = torch.stack([features[place] for place in around], dim=1)  # (B, 9, D)
            likeness = F.normalize(near, dim=2, eps=EPSILON) @ F.normalize(pixels[i, j], dim=1, eps=EPSILON)
            shares = (SHARPNESS * likeness).softmax(1)  # (B, 9, c^2)
            given = shares @ pixels[i, j].transpose(1, 2)
            for number, place in enumerate(around):
                sums[place] += given[:, number]
                masses[place] += shares[:, number].sum(1, keepdim=True)
        features = {place: sums[place] / masses[place] for place in places}
    return torch.stack([features[place] for place in places], dim=2).unflatten(2, (rows, columns))


def clustering(found: measure.Results, *, quick: bool) -> None:
    """Beside the loop, and against the number of pixels."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with torch.no_grad():
        for number, shape in enumerate((TINY, LARGE)):
            ours, loop = shape.ours(), partial(by_cells, shape.map(), shape.cell)
            if (ours() - loop()).abs().max() > TOLERANCE:
                raise SystemExit("tmt: clustering and its loop differ")
            seconds = measure.in_turns({"ours": ours, "loop": loop}, rounds=rounds, clock=time.process_time)
            ratio, about = measure.ratios(seconds["loop"], seconds["ours"]), f"clustering of {shape}: a loop / ours"
            if number:
                found.others.append(measure.Figure("clustering_loop_large", ratio, about=about))
            else:
                found.bounded.append(measure.Figure("clustering_loop", ratio, least=FASTER, about=about))
        growth(found, rounds)


def growth(found: measure.Results, rounds: int) -> None:
    """Time against pixels, as an exponent from each side to the next; the largest of them is bounded.

    Between the two smallest maps most is what any call costs, which would hide growth: that one has no bound.
    """
    shapes = [replace(TINY, side=side) for side in SIDES]
    seconds = measure.in_turns({s: s.ours() for s in shapes}, rounds=rounds, clock=time.process_time)
    found_at = {}
    for small, large in pairwise(shapes):
        ratios, pixels = measure.ratios(seconds[large], seconds[small]), (large.side / small.side) ** 2
        found_at[f"{small.side}² to {large.side}²"] = [math.log(ratio) / math.log(pixels) for ratio in ratios]
    about = "clustering: exponent of time over pixels"
    larger = list(found_at)[1:]
    steepest = max(larger, key=lambda octave: median(found_at[octave]))
    found.bounded.append(
        measure.Figure("clustering_exponent", found_at[steepest], most=EXPONENT, unit="", about=f"{about}, {steepest}")
    )
    for number, octave in enumerate(found_at):
        add(found, f"clustering_exponent_{SIDES[number + 1]}", found_at[octave], "", f"{about}, {octave}")
    for shape, spent in seconds.items():
        add(found, f"ms_clustering_{shape.side}", [1e3 * s for s in spent], "ms", f"clustering of {shape}")


def add(found: measure.Results, name: str, rounds: list[float], unit: str, about: str) -> None:
    """A figure without a bound."""
    found.others.append(measure.Figure(name, rounds, unit=unit, about=about))


def method_job(folder: Path, method: str, *, quick: bool) -> TrainingJob:
    """The job of a row on made scenes; its target is the same scenes, with labels."""
    params = parse(read_yaml(PARAMS))
    definition = params.methods[method]
    job = make_job(folder, definition.segmenter, quick=quick, steps=STEPS)
    recipe = merge(job.training.model_dump(exclude_unset=True), definition.training) | {"steps": STEPS}
    target = Split("target", *(open_store(folder / f"{what}.json") for what in ("images", "labels")))
    adaptations = tuple(params.component("adaptations", name) for name in definition.adaptations)
    return replace(job, adaptations=adaptations, training=Training(**recipe), target=target)


@dataclass(frozen=True)
class Arm:
    """One row, ready to take a late step."""

    run: Run
    batch: Batch

    def __call__(self) -> None:
        """One whole update."""
        self.run.update(self.batch)


def training(segmenter: str, found: measure.Results, scratch: Path, *, quick: bool) -> None:
    """Whole updates of the rows on a segmenter."""
    arms = {}
    for name in ROWS[segmenter]:
        (scratch / name).mkdir()
        job = method_job(scratch / name, name, quick=quick)
        arms[name] = Arm(Run(job, scratch / name / "run", Runtime()), StepBatches(job)[LATE])
    alone, regions, led = arms
    seconds = measure.in_turns(arms, rounds=QUICK_ROUNDS if quick else ROUNDS, clock=time.process_time, warmup=1)
    for name, beside in ((regions, alone), (led, alone), (led, regions)):
        key = f"step_{name}_{beside}".replace("-", "_")
        add(found, key, measure.ratios(seconds[name], seconds[beside]), "×", f"step: {name} / {beside}")
    for name, arm in arms.items():
        key = name.replace("-", "_")
        add(found, f"ms_step_{key}", [1e3 * s for s in seconds[name]], "ms", f"step of {name}")
        add(found, f"mib_step_{key}", [peak_memory(arm, arm.run.device)], "MiB", f"step of {name}, peak")
        add(found, f"gmacs_step_{key}", [gmacs(arm)], "G", f"step of {name}, multiply-accumulates")


def gmacs(run: Callable[[], object]) -> float:
    """Multiply-accumulates of products and convolutions, in 10^9."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / FLOPS_PER_MAC / GIGA


def testing(segmenter: str, found: measure.Results, scratch: Path, *, quick: bool) -> None:
    """The host, with a bias of zeros, and led; whole images of several sides."""
    params = parse(read_yaml(PARAMS))
    (scratch / f"test-{segmenter}").mkdir()
    job = make_job(scratch / f"test-{segmenter}", segmenter, quick=quick, steps=STEPS)
    kind, settings = params.component("adaptations", HOSTS[segmenter])
    host = build_segmenter(job.segmenter, job.segmenter_settings, job.classes, seed=0).eval()
    part = build_adaptations(replace(job, adaptations=((kind, settings),), target=job.source[0]), host.describe())[kind]
    for gamma in part.guide.attention.gammas.values():
        torch.nn.init.constant_(gamma, GAMMA)
    steers: dict[str, Steer | None] = {"host": None, "zeros": zeros_at(part.guide.sites), "led": part.steer(None)}
    own = sum(p.numel() for p in host.parameters())
    added = sum(p.numel() for p in part.guide.parameters())
    found.notes.setdefault("parameters", {})[segmenter] = {"host": own, "added": added}
    for side in (64,) if quick else TEST_SIDES[segmenter]:
        pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            arms = {name: partial(host.predict, pixels, steer=steer) for name, steer in steers.items()}
            seconds = measure.in_turns(arms, rounds=QUICK_ROUNDS if quick else ROUNDS, clock=time.process_time)
            add_testing(found, segmenter, side, arms, seconds)


def add_testing(
    found: measure.Results, segmenter: str, side: int, arms: dict[str, Callable], seconds: dict[str, list[float]]
) -> None:
    """Figures of one side."""
    label, key = f"{segmenter}, {side}²", f"{segmenter}_{side}"
    for beside in ("host", "zeros"):
        ratio = measure.ratios(seconds["led"], seconds[beside])
        add(found, f"predict_{key}_{beside}", ratio, "×", f"{label}: prediction, led / {beside}")
    for name, arm in arms.items():
        add(found, f"ms_{key}_{name}", [1e3 * s for s in seconds[name]], "ms", f"{label}, {name}")
        add(found, f"mib_{key}_{name}", [peak_memory(arm, torch.device("cpu"))], "MiB", f"{label}, {name}, peak")
        add(found, f"gmacs_{key}_{name}", [gmacs(arm)], "G", f"{label}, {name}, multiply-accumulates")


def zeros_at(sites: Mapping[str, Site]) -> Steer:
    """A bias per head, as TMA's, that changes nothing but the kernel."""

    def steer(site: str, features: Features, keys: Size) -> Tensor | None:
        return torch.zeros(1, sites[site].heads, 1, math.prod(keys)) if site in sites else None

    return steer


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    found = measure.Results()
    # weights that params.yaml names lie below its folder
    with TemporaryDirectory() as scratch, chdir(PARAMS.parent), devices.reproducible():
        clustering(found, quick=chosen.quick)
        for segmenter in ("daformer",) if chosen.quick else HOSTS:
            testing(segmenter, found, Path(scratch), quick=chosen.quick)
            training(segmenter, found, Path(scratch), quick=chosen.quick)
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
