"""Kills at random moments: the workflow, broken and resumed again and again, ends with the bytes of an unbroken one.

The grid: one method, one pair, two seeds, that train side by side on two cores; ten kinds of jobs from decoding to the
published page. Moments are drawn in seconds of the processor that the whole workflow has spent since it was started or
last hit, so that a busy machine is hit at the same stages as a quiet one. Victims are drawn alike: a stage (whatever
process trains, predicts, scores …), the scheduler, or its whole process group; signals are SIGKILL twice as often as
SIGTERM. After the scheduler's end the workflow is started again, as `make leaderboard` does: its lock is dropped if
nobody holds it. A grid that comes to its end is compared and begun anew, until the kills are used up; the last one is
brought to its end. One seed gives the same draws; what they hit depends on the machine.

    python benchmarks/chaos.py --kills 30 --seed 0 --out reports/benchmarks/chaos.json
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure
import psutil
import yaml

from pipeline import COPIED, ROOT, UNSET

SOONEST, LATEST = 1.0, 14.0  # seconds of the processor between two kills
VICTIMS = ("stage", "scheduler", "group")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
SAID = 4000  # characters of a log that a failure shows
LOOK = 0.05  # seconds between two looks at the processes
ENDINGS = 4  # undisturbed starts after the last kill, of which one must come to the end
PATIENCE = 900  # seconds without end after which something hangs
SCORES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "leaderboard.tex", "gains.csv")
FIGURES = ("heatmap.svg", "heatmap.png", "ranks.csv", "ranks.svg")
BOARD = "chaos"
OVERLAY = {
    "suites": {"streetworld": {"generator": {"height": 64, "width": 128, "train": 6, "val": 2}}},
    "segmenters": {"deeplabv3plus": {"decoder_channels": 32}},
    "protocols": {"tiny": {"training": {"steps": 40, "batch": 2}, "augmentation": {"crop": 64}}},
    "grid": {"methods": ["source-only"], "pairs": ["clear->night"], "seeds": [0, 1], "board": BOARD},
    "runtime": {"checkpoint_every": 4, "log_every": 4},
    "records": "ignore",
}


class Project:
    """The workflow in a folder of its own, without results or records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name, **({"symlinks": True} if copy is shutil.copytree else {}))
        (folder / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
        self.environment = {key: value for key, value in os.environ.items() if key not in UNSET}
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment["OMP_NUM_THREADS"] = "1"

    def start(self) -> subprocess.Popen:
        """The scheduler, leader of a process group. A killed one's lock is dropped first: nobody else is here."""
        shutil.rmtree(self.folder / ".snakemake" / "locks", ignore_errors=True)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "overlay.yaml"]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def stages(self) -> list[psutil.Process]:
        """Living commands of the workflow in this folder, whoever started them."""
        return [process for process in psutil.process_iter() if self._is_stage(process)]

    def _is_stage(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()
            here = process.cwd() == str(self.folder)
            return here and any(Path(word).name == "xdseg" for word in words[:2])
        except (psutil.Error, OSError):
            return False

    def scores(self) -> dict[str, str]:
        """Digests of the published scores."""
        folder = self.folder / "reports" / BOARD
        return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (*SCORES, *FIGURES)}

    def said(self) -> str:
        """The end of what Snakemake has said."""
        return (self.folder / "log").read_text()[-SAID:]

    def forget(self) -> None:
        """Back to a project without results."""
        for name in ("results", "records", "reports", ".snakemake"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def stage_of(process: psutil.Process) -> str:
    """Which command of `xdseg` a process is."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return "gone"
    at = next((n for n, word in enumerate(words) if Path(word).name == "xdseg"), None)
    return words[at + 1] if at is not None and len(words) > at + 1 else "starting"


def spent(scheduler: subprocess.Popen) -> float:
    """Seconds of the processor that a scheduler and all its jobs, ended ones too, have spent."""
    total = 0.0
    try:
        leader = psutil.Process(scheduler.pid)
        for process in (leader, *leader.children(recursive=True)):
            total += sum(process.cpu_times()[:4])  # own and of children it has waited for
    except psutil.Error:  # one ended while it was looked at: the next look counts it with its parent
        pass
    return total


class Chaos:
    """One series of kills."""

    def __init__(self, project: Project, *, kills: int, seed: int) -> None:
        self.project, self.count = project, kills
        self.random = random.Random(seed)
        self.hits: list[dict[str, Any]] = []
        self.wholes: list[dict[str, str]] = []  # scores of each grid that came to its end
        self.starts = 0
        self.whole = False  # did the last scheduler come to the end of the grid?

    def run(self) -> None:
        """All kills, then the last grid to its end."""
        while len(self.hits) < self.count:
            self._one_scheduler()
        for _ in range(ENDINGS):
            if self.whole:
                return
            self._one_scheduler()
        raise AssertionError(f"left alone it does not come to its end\n{self.project.said()}")

    def _one_scheduler(self) -> None:
        """Start the workflow and hit it until its scheduler ends."""
        self.whole = False
        scheduler = self.project.start()
        self.starts += 1
        while scheduler.poll() is None:
            if len(self.hits) == self.count:
                self._wait(scheduler)
            elif self._reached(scheduler, spent(scheduler) + self.random.uniform(SOONEST, LATEST)):
                self._hit(scheduler)
        self._nobody_is_left()
        if scheduler.returncode == 0:
            self.whole = True
            self.wholes.append(self.project.scores())
            if len(self.hits) < self.count:
                self.project.forget()

    def _reached(self, scheduler: subprocess.Popen, moment: float) -> bool:
        """Wait until so much is spent; False if the scheduler ended before."""
        for _ in looks():
            if scheduler.poll() is not None:
                return False
            if spent(scheduler) >= moment:
                return True
        raise AssertionError(self._hangs())

    def _hit(self, scheduler: subprocess.Popen) -> None:
        victim, number = self.random.choice(VICTIMS), self.random.choice(SIGNALS)
        stages = self.project.stages()
        if victim == "stage":
            stages = [self.random.choice(stages)] if stages else []
            to = stages[0].pid if stages else None
        else:
            to = scheduler.pid if victim == "scheduler" else -scheduler.pid
        at_work = sorted(map(stage_of, stages))
        if to is None or scheduler.poll() is not None or not _sent(to, number):
            return
        self.hits.append({"victim": victim, "signal": number.name, "at_work": at_work})
        said = f"{len(self.hits)}/{self.count}: {victim}, {number.name}, while {', '.join(at_work) or 'none'} at work"
        print(said, file=sys.stderr, flush=True)
        if victim != "stage":
            self._wait(scheduler)

    def _wait(self, scheduler: subprocess.Popen) -> None:
        try:
            scheduler.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._hangs()) from None

    def _nobody_is_left(self) -> None:
        for _ in looks():
            if not self.project.stages():
                return
        raise AssertionError("a stage outlived its scheduler")

    def _hangs(self) -> str:
        return f"nothing ended for {PATIENCE} s\n{self.project.said()}"


def looks() -> Iterator[None]:
    """Pauses, as long as patience lasts."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        yield
        time.sleep(LOOK)


def _sent(to: int, number: signal.Signals) -> bool:
    """Send a signal to a process or, of a negative number, to that group; False if it has ended in this moment."""
    try:
        os.kill(to, number)
    except ProcessLookupError:
        return False
    return True


def unbroken(project: Project) -> dict[str, str]:
    """Scores of a run that nobody disturbs; the project is as new afterwards."""
    if project.start().wait(PATIENCE):
        raise SystemExit(f"chaos: the undisturbed run failed\n{project.said()}")
    scores = project.scores()
    project.forget()
    return scores


def chaos(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Run the series below an empty folder. Returns what was hit, and how many grids ended with other bytes."""
    project = Project(folder / "project")
    expected = unbroken(project)
    series = Chaos(project, kills=kills, seed=seed)
    series.run()
    differing = [sorted(name for name in expected if found[name] != expected[name]) for found in series.wholes]
    return {
        "kills": len(series.hits),
        "seed": seed,
        "hits": series.hits,
        "starts": series.starts,
        "grids": len(series.wholes),
        "differing": [names for names in differing if names],
        "files_compared": len(expected),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run, print a line per victim and the JSON; exit code 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    began, load = time.perf_counter(), os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        found = chaos(Path(folder).resolve(), kills=chosen.kills, seed=chosen.seed)
    found["seconds"] = round(time.perf_counter() - began)
    for victim in VICTIMS:
        hits = [hit for hit in found["hits"] if hit["victim"] == victim]
        print(f"{victim}: {len(hits)} kills, during {sorted({name for hit in hits for name in hit['at_work']})}")
    print(f"{found['grids']} grids to the end, {len(found['differing'])} with other bytes, {found['starts']} starts")
    if chosen.out:
        measure.write_json(chosen.out, found | {"environment": measure.environment() | {"load_before": round(load, 2)}})
    print(json.dumps(found))
    return bool(found["differing"])


if __name__ == "__main__":
    sys.exit(main())
