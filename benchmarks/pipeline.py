"""What the workflow costs beside the work: start-up of its processes, and planning a grid of 4,000 cells.

Overhead: a grid of two trainings and four targets each, of the size that CI uses, runs on one core. Of each training
its whole process counts less the seconds spent on steps; of each evaluation the process that predicts all targets less
the seconds spent on images, and the whole processes that score and record, over the number of targets.
Bounds: 10 s per training and 3 s per target, of which the figures are shares.

Planning: `snakemake --dry-run` of 10 methods × 20 pairs × 20 seeds, against the same rules, paths, logs and benchmark
lines with every input looked up in a ready table (bare.smk); that both plan the same jobs is checked. Seconds are of
the processor, so that other work on the machine disturbs them least. Bound: at most 1.5 × the bare one.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure

from xdseg.params import merge, parse, read_yaml
from xdseg.workflow import Plan

ROOT = Path(__file__).parents[1]
SNAKEMAKE = (sys.executable, "-m", "snakemake")
PER_RUN, PER_TARGET, PER_DRY_RUN = 10, 3, 1.5
COPIED = ("Snakefile", "params.yaml", "backbones", "pipeline", "profiles")
BARE_NAMES = ("source-only", "source-aug", "oracle", "dacs", "fine-tune", "fine-tune-joint")
LARGE = (*BARE_NAMES, *(f"{name}-daformer" for name in ("source-only", "oracle", "dacs", "fine-tune")))
UNSET = ("XDSEG_CONFIG", "XDSEG_DIE_WITH_PARENT")
RULE = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)  # of Snakemake's job stats


def project(folder: Path, overlay: dict[str, Any]) -> Path:
    """The workflow without results or records, with an overlay of params.yaml."""
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"symlinks": True} if copy is shutil.copytree else {}))
    (folder / "overlay.yaml").write_text(json.dumps(overlay))  # JSON is YAML
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    """Run it in a project; returns what it says. Raises SystemExit with that if it fails."""
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run([*SNAKEMAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pipeline: snakemake {' '.join(arguments)} failed\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def planned(output: str) -> dict[str, int]:
    """Jobs per rule that a dry run says."""
    return {rule: int(number) for rule, number in RULE.findall(output)}


def overhead(folder: Path, *, sources: int, targets: int) -> dict[str, list[float]]:
    """Run the small grid; seconds of overhead per training and per target, and of the scheduler per job."""
    domains = ("clear", "game", "night", "rain", "snow")
    pairs = [f"{a}->{b}" for a in domains[:sources] for b in [d for d in domains if d != a][:targets]]
    small = read_yaml(ROOT / "pipeline/presets/ci.yaml")
    grid = {"methods": ["source-only"], "pairs": pairs, "board": "benchmark"}
    made = project(folder, merge(small, {"grid": grid, "records": "ignore"}))
    began = time.perf_counter()
    snakemake(made, "--cores", "1", "--configfile", "overlay.yaml")
    whole = time.perf_counter() - began
    found: dict[str, list[float]] = {"run": [], "target": []}
    for receipt in sorted(made.glob("results/streetworld/*/*/*/run.json")):
        run = receipt.parent
        found["run"].append(seconds(run / "train.time") - json.loads(receipt.read_text())["costs"]["train_seconds"])
        (predictions,) = run.glob("predictions-*.json")
        segmented = [target["seconds"] for target in json.loads(predictions.read_text())["targets"].values()]
        scored = [seconds(path) for path in run.glob("*/score-*.time")]
        digests = {path.stem.removeprefix("score-") for path in run.glob("*/score-*.time")}
        recorded = [seconds(p) for p in made.glob("results/records/**/*.time") if p.stem.partition("-")[2] in digests]
        if not len(segmented) == len(scored) == len(recorded) == targets:
            raise SystemExit(
                f"pipeline: {run}: {len(segmented)} targets, {len(scored)} scores, {len(recorded)} records"
            )
        spent = seconds(predictions.with_suffix(".time")) - sum(segmented) + sum(scored) + sum(recorded)
        found["target"].append(spent / targets)
    jobs = [seconds(path) for path in made.glob("results/**/*.time")]
    return found | {"scheduler": [(whole - sum(jobs)) / len(jobs)]}


def seconds(benchmark: Path) -> float:
    """Wall clock seconds in a `benchmark:` file of Snakemake's."""
    header, values = (line.split("\t") for line in benchmark.read_text().splitlines())
    return float(values[header.index("s")])


def table(folder: Path) -> dict[str, Any]:
    """All inputs of the grid by rule and path, as bare.smk wants them."""
    config = merge(read_yaml(folder / "params.yaml"), read_yaml(folder / "overlay.yaml"))
    with chdir(folder):
        plan = Plan(parse(config))
        return {
            "all": f"{plan.board}/cells.csv",
            "board": plan.records,
            "train": {path: plan.training_inputs(path) for path in plan.runs},
            "predict": {path: plan.prediction_inputs(path) for path in plan.cells_of_run},
            "score": {path: plan.scoring_inputs(path) for path in plan.by_folder},
            "record": {path: plan.record_inputs(path) for path in plan.by_record},
        }


def dry_runs(folder: Path, *, seeds: int, rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of dry runs of the true workflow and of the bare one, and the jobs that both plan."""
    grid = {"suite": "streetworld", "pairs": "all", "methods": LARGE, "seeds": list(range(seeds))}
    true = project(folder / "true", {"grid": grid, "records": "ignore"})
    bare = folder / "bare"
    shutil.copytree(ROOT / "pipeline/profiles/workstation", bare / "profiles/default")
    shutil.copy(Path(__file__).with_name("bare.smk"), bare / "Snakefile")
    (bare / "table.json").write_text(json.dumps(table(true)))
    said: dict[str, str] = {}

    def plan(name: str, where: Path, *more: str) -> Callable[[], None]:
        def run() -> None:
            said[name] = snakemake(where, "--dry-run", "--quiet", "rules", "--cores", "1", *more)

        return run

    arms = {"true": plan("true", true, "--configfile", "overlay.yaml"), "bare": plan("bare", bare)}
    spent = measure.in_turns(arms, rounds=rounds, clock=children, warmup=0)
    jobs = planned(said["true"])
    if not jobs or jobs != planned(said["bare"]):
        raise SystemExit(f"pipeline: the two workflows plan other jobs: {jobs}, {planned(said['bare'])}")
    return spent, jobs


def children() -> float:
    """Seconds of the processor that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    sources, targets, seeds, rounds = (1, 2, 1, 2) if chosen.quick else (2, 4, 20, 3)
    with TemporaryDirectory() as scratch:
        spent, jobs = dry_runs(Path(scratch), seeds=seeds, rounds=rounds)
        costs = overhead(Path(scratch) / "small", sources=sources, targets=targets)
    found = measure.Results(notes={"cells": len(LARGE) * 20 * seeds, "jobs": jobs, "targets_per_run": targets})
    per_run, per_target = [s / PER_RUN for s in costs["run"]], [s / PER_TARGET for s in costs["target"]]
    planning = measure.ratios(spent["true"], spent["bare"])
    cells = found.notes["cells"]
    found.bounded += [
        measure.Figure("run_overhead", per_run, most=1, about=f"overhead per training / {PER_RUN} s"),
        measure.Figure("target_overhead", per_target, most=1, about=f"overhead per target / {PER_TARGET} s"),
        measure.Figure("dry_run", planning, most=PER_DRY_RUN, about=f"dry run of {cells} cells / bare Snakefile"),
    ]
    found.others += [
        measure.Figure("s_run_overhead", costs["run"], unit="s", about="overhead per training"),
        measure.Figure("s_target_overhead", costs["target"], unit="s", about="overhead per target"),
        measure.Figure("s_scheduler_per_job", costs["scheduler"], unit="s", about="Snakemake itself, per job"),
        measure.Figure("s_dry_run", spent["true"], unit="s", about=f"dry run of {cells} cells"),
        measure.Figure("s_dry_run_bare", spent["bare"], unit="s", about="the same, bare"),
    ]
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
