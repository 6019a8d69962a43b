"""A grid of 1,000 cells beside small ones: what the workflow itself costs per cell, and what it leaves on the disk.

The method is a stub without cost (tests/stub_segmenter.py), on a folder suite of 41 domains of one tiny image each. A
training serves 40 targets; so 1, 5 and 25 trainings make 40, 200 and 1,000 cells. Each grid runs to its end on two
cores, in a project of its own: data decoded, trained, predicted, scored, recorded, board and page. Then the same
command again, which finds nothing to do.

Seconds of the processor, which other work on the machine disturbs least: those of the scheduler itself (Snakemake and
the plan of xdseg), and those of all its jobs. The wall clock stands beside them. Memory is the scheduler's peak.

What is decoded once weighs most in a small grid. So growth is measured on what further cells cost: those from the
middle to the largest grid, divided by those from the smallest to the middle one. Flat is 1.

Bound: 1.25.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure
import numpy as np
import pandas as pd
import psutil
from PIL import Image
from scale_figure import save

from pipeline import ROOT, SNAKEMAKE, UNSET, children, project

FULL, QUICK = ((1, 1), (5, 1), (5, 5)), ((1, 1), (2, 1), (2, 2))  # sources, seeds of each grid
TARGETS, QUICK_TARGETS = 40, 3
SIDE = 16  # pixels of an image
CORES = 2
MOST_GROWTH = 1.25
LOOK = 0.2  # seconds between two looks at the scheduler
MIB = 2**20
BOARD = "scale"


@dataclass(frozen=True)
class Grid:
    """What one grid took."""

    cells: int
    runs: int
    wall_s: float  # to its end
    jobs_cpu_s: float  # all jobs
    scheduler_cpu_s: float  # Snakemake with the plan
    scheduler_mib: float  # its peak memory
    again_wall_s: float  # the same command once more: nothing to do
    again_cpu_s: float
    files: int  # below results/ and records/
    mib: float  # of these files

    def per_cell(self, seconds: float) -> float:
        """Seconds divided by the cells."""
        return seconds / self.cells


def suite(folder: Path, domains: Sequence[str]) -> None:
    """A folder suite: two flat classes, one image each to train and to test."""
    rng = np.random.default_rng(0)
    for domain in domains:
        for kind in ("images", "labels"):
            (folder / domain / kind).mkdir(parents=True)
        for split, name in (("train", "0"), ("val", "1")):
            label = np.zeros((SIDE, SIDE), np.uint8)
            label[:, SIDE // 2 :] = 1
            image = (60 + 120 * label[..., None] + rng.integers(0, 60, (SIDE, SIDE, 3))).astype(np.uint8)
            Image.fromarray(image).save(folder / domain / "images" / f"{name}.png")
            Image.fromarray(label).save(folder / domain / "labels" / f"{name}.png")
            (folder / domain / f"{split}.txt").write_text(f"{name}\n")
    counts = {domain: {"train": 1, "val": 1} for domain in domains}
    told = {"suite": folder.name, "classes": ["left", "right"], "ignore_index": 255, "domains": counts}
    (folder / "suite.json").write_text(json.dumps(told))


def overlay(root: Path, domains: Sequence[str], *, sources: int, seeds: int) -> dict[str, Any]:
    """The grid of a stub from the first `sources` domains to all others."""
    pairs = [f"{source}->{target}" for source in domains[:sources] for target in domains if target != source]
    return {
        "plugins": ["stub_segmenter"],
        "suites": {BOARD: {"kind": "folder", "root": str(root)}},
        "segmenters": {"stub": {"kind": "stub"}},
        "methods": {"stub": {"setting": "source", "segmenter": "stub"}},
        "protocols": {BOARD: {"training": {"steps": 1, "batch": 1, "lr": 0.001}, "augmentation": {"crop": SIDE}}},
        "grid": {
            "suite": BOARD,
            "methods": ["stub"],
            "protocol": BOARD,
            "pairs": pairs,
            "seeds": list(range(seeds)),
            "board": BOARD,
        },
        "records": "ignore",
    }


def environment() -> dict[str, str]:
    """Of the workflow: this checkout and the stub can be imported, one thread a job."""
    kept = {key: value for key, value in os.environ.items() if key not in UNSET}
    paths = (str(ROOT), str(ROOT / "tests"), kept.get("PYTHONPATH"))
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


def watched(folder: Path) -> tuple[float, float, float, float]:
    """Run the workflow: seconds of the wall clock, of all jobs, of the scheduler, and the scheduler's peak in bytes.

    Raises SystemExit with the end of what it said if it fails.
    """
    before, began = children(), time.perf_counter()
    command = [*SNAKEMAKE, "--cores", str(CORES), "--configfile", "overlay.yaml"]
    with (folder / "log").open("w") as log:
        scheduler = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
        process, own, peak = psutil.Process(scheduler.pid), 0.0, 0.0
        while scheduler.poll() is None:
            try:
                own, peak = sum(process.cpu_times()[:2]), max(peak, process.memory_info().rss)
            except psutil.Error:  # it ended between the two lines
                break
            time.sleep(LOOK)
    if scheduler.wait():
        raise SystemExit(f"scale: {' '.join(command)} failed\n{(folder / 'log').read_text()[-4000:]}")
    return time.perf_counter() - began, children() - before - own, own, peak


def grid(folder: Path, root: Path, domains: Sequence[str], *, sources: int, seeds: int) -> Grid:
    """Bring one grid to its end in a new project, and run it again. Raises SystemExit if a cell is missing."""
    made = project(folder, overlay(root, domains, sources=sources, seeds=seeds))
    # as a checkout has it: a suite's lock is made once, before any grid
    prepare = [sys.executable, "-m", "xdseg.cli", "--configfile", "overlay.yaml", "prepare", BOARD]
    subprocess.run(prepare, cwd=made, env=environment(), check=True, stdout=subprocess.DEVNULL)
    wall, jobs, own, peak = watched(made)
    states = pd.read_csv(made / "reports" / BOARD / "cells.csv")["status"]
    cells, runs = sources * (len(domains) - 1) * seeds, sources * seeds
    if len(states) != cells or set(states) != {"ok"}:
        raise SystemExit(f"scale: of {cells} cells the board has {(states == 'ok').sum()}")
    kept = [path.stat().st_size for top in ("results", "records") for path in (made / top).rglob("*") if path.is_file()]
    trained = [path.stat().st_mtime_ns for path in sorted(made.glob("results/*/*/*/*/run.json"))]
    again, again_jobs, again_own, _ = watched(made)
    if trained != [path.stat().st_mtime_ns for path in sorted(made.glob("results/*/*/*/*/run.json"))]:
        raise SystemExit("scale: the second run trained again")
    return Grid(
        cells=cells,
        runs=runs,
        wall_s=wall,
        jobs_cpu_s=jobs,
        scheduler_cpu_s=own,
        scheduler_mib=peak / MIB,
        again_wall_s=again,
        again_cpu_s=again_jobs + again_own,
        files=len(kept),
        mib=sum(kept) / MIB,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, draw, print, write."""
    chosen = measure.options(__doc__, arguments)
    sizes, targets = (QUICK, QUICK_TARGETS) if chosen.quick else (FULL, TARGETS)
    domains = [f"d{number:02d}" for number in range(targets + 1)]
    grids = []
    with TemporaryDirectory() as scratch:
        root = Path(scratch).resolve() / "data" / BOARD
        suite(root, domains)
        for sources, seeds in reversed(sizes):  # the one that takes long first
            found = grid(Path(scratch) / f"{sources}-{seeds}", root, domains, sources=sources, seeds=seeds)
            print(f"scale: {found}", file=sys.stderr, flush=True)
            grids.insert(0, found)
    if chosen.out:
        save(grids, chosen.out)
    return measure.report(results(grids, targets), chosen)


def further(smaller: Grid, larger: Grid) -> float:
    """Seconds of the processor for each cell that the larger grid has more."""
    spent = [one.jobs_cpu_s + one.scheduler_cpu_s for one in (smaller, larger)]
    return (spent[1] - spent[0]) / (larger.cells - smaller.cells)


def results(grids: Sequence[Grid], targets: int) -> measure.Results:
    """The figures of the largest grid, and how the cost of further cells grows."""
    small, middle, large = grids
    early, late = further(small, middle), further(middle, large)
    found = measure.Results(notes={"targets_per_run": targets, "cores": CORES, "grids": [asdict(one) for one in grids]})
    about = f"processor per further cell: {middle.cells} to {large.cells} / {small.cells} to {middle.cells}"
    found.bounded.append(measure.Figure("growth", [late / early], most=MOST_GROWTH, about=about))
    told = {
        "s_per_further_cell": (late, "s", f"processor per further cell, {middle.cells} to {large.cells}"),
        "s_wall_per_cell": (large.per_cell(large.wall_s), "s", f"wall clock per cell, {CORES} cores"),
        "s_jobs_per_cell": (large.per_cell(large.jobs_cpu_s), "s", "processor of all jobs, per cell"),
        "s_scheduler_per_cell": (large.per_cell(large.scheduler_cpu_s), "s", "processor of the scheduler, per cell"),
        "mib_scheduler": (large.scheduler_mib, "MiB", "peak memory of the scheduler"),
        "s_again": (large.again_wall_s, "s", "the same command again, wall clock"),
        "files_per_cell": (large.per_cell(large.files), "", "files below results/ and records/, per cell"),
        "kib_per_cell": (large.per_cell(1024 * large.mib), "KiB", "their size, per cell"),
    }
    found.others += [measure.Figure(name, [x], unit=unit, about=about) for name, (x, unit, about) in told.items()]
    return found


if __name__ == "__main__":
    sys.exit(main())
