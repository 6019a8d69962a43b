"""The workflow as its users run it: whole, again, after a change, after every kind of kill. Slow: real trainings."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Project, small_config

from xdseg.cli import main

pytestmark = pytest.mark.slow

TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "gains.csv", "class_gains.csv")
FIGURES = tuple(f"{name}.{suffix}" for name in ("heatmap", "gains", "ranks") for suffix in ("png", "svg"))
SCORES = (*TABLES, "ranks.csv", "leaderboard.tex", *FIGURES)
TIMEOUT = 900  # seconds that nothing here comes near, so that a hang is a failure


def hear_interrupts() -> None:
    """A shell's background jobs, which these tests may be one of, start deaf to SIGINT, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Workflow:
    """A project with the toy suite, driven through `make leaderboard` and `snakemake` as a user does.

    Nobody answers where its tracking server should be: no stage asks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "requirements.txt", "requirements-alone.txt", "pyproject.toml"):
            shutil.copy2(ROOT / name, folder / name)
        os.symlink(ROOT / ".venv", folder / ".venv")
        nobody = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        self.environment = os.environ | nobody | {"PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}

    def start(self, *command: str) -> subprocess.Popen:
        """Begin a command in a process group of its own."""
        with (self.folder / "workflow.log").open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            )

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run a command to its end."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT
        )

    def make(self, cores: int = 2) -> None:
        """`make leaderboard`, which must succeed."""
        done = self.run("make", "leaderboard", f"CORES={cores}")
        assert done.returncode == 0, done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs that a dry run plans, by rule."""
        done = self.run("snakemake", "-n", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.partition("Job stats:")[2].partition("total")[0].splitlines()[3:]
        return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2}

    def scores(self) -> dict[str, str]:
        """Digests of the published score files."""
        folder = self.folder / "reports" / "toy"
        return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SCORES}

    def trainers(self) -> dict[int, Path]:
        """Processes that train in this folder, each with the folder of its run."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes().split(b"\0")
                here = os.readlink(path / "cwd") == str(self.folder)
            except OSError:
                continue
            if here and b"train" in command and any(word.endswith(b"xdseg") for word in command[:2]):
                found[int(path.name)] = self.folder / Path(command[command.index(b"train") + 1].decode()).parent
        return found

    def wait_until_training(self) -> int:
        """Until a trainer has saved a resume state, so that a kill has something to lose; that trainer."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            for trainer, run in self.trainers().items():
                # Its neighbour may have saved nothing yet: on a loaded machine one of two starts seconds later.
                if (run / "resume.pt").exists():
                    return trainer
            time.sleep(0.05)
        raise AssertionError((self.folder / "workflow.log").read_text())


@pytest.fixture
def workflow(project: Project) -> Workflow:
    """The toy grid: two methods, two pairs, two trainings that last long enough to be killed."""
    config = small_config(methods=["source-only", "oracle"])
    config["protocols"]["tiny"]["training"]["steps"] = 60
    config["runtime"] = {"checkpoint_every": 5, "log_every": 5}
    project.write(config)
    return Workflow(project.folder)


SCORES_OF_ONE_RUN: dict[str, str] = {}


@pytest.fixture
def expected(workflow: "Workflow") -> dict[str, str]:
    """Scores of one undisturbed run, made once for all tests to compare with, in a project of its own."""
    if not SCORES_OF_ONE_RUN:
        workflow.make()
        SCORES_OF_ONE_RUN.update(workflow.scores())
        for name in ("results", "records", "reports", ".snakemake"):
            shutil.rmtree(workflow.folder / name)
    return SCORES_OF_ONE_RUN


def test_from_data_to_table_and_again(workflow: Workflow, expected):
    """One command makes the table; everything after that costs only what changed."""
    workflow.make()
    assert workflow.scores() == expected
    assert json.loads((workflow.folder / "reports/toy/leaderboard.json").read_text())
    assert len(list(workflow.folder.glob("records/toy/*/*/*.json"))) == 4
    assert workflow.planned() == {"all": 1}, "again: nothing but the publish step"
    shutil.rmtree(workflow.folder / ".snakemake")
    assert workflow.planned() == {"all": 1}, "the answer does not hang on Snakemake's memory"
    shutil.rmtree(workflow.folder / "results")
    assert workflow.planned() == {"board": 1, "all": 1}, "a clone: from the committed records"
    assert "train" in workflow.planned("--config", "records=ignore")
    workflow.make()
    assert workflow.scores() == expected
    change = ("--config", "protocols={tiny: {training: {steps: 61}}}")
    planned = workflow.planned(*change)
    assert (planned["train"], planned["predict"], planned["record"]) == (2, 2, 4), "changed steps: every cell"
    assert workflow.planned() == {"all": 1}, "changed back: nothing"


def test_one_core_gives_the_same_bytes(workflow: Workflow, expected):
    """The number of jobs at a time is in no result."""
    workflow.make(cores=1)
    assert workflow.scores() == expected


KILLS = {
    "trainer, SIGKILL": ("trainer", signal.SIGKILL),
    "scheduler, SIGKILL": ("scheduler", signal.SIGKILL),
    "group, SIGKILL": ("group", signal.SIGKILL),
    "scheduler, SIGINT": ("scheduler", signal.SIGINT),
    "group, SIGINT": ("group", signal.SIGINT),
    "scheduler, SIGTERM": ("scheduler", signal.SIGTERM),
    "group, SIGTERM": ("group", signal.SIGTERM),
}


@pytest.mark.parametrize("victim, number", KILLS.values(), ids=KILLS.keys())
def test_killed_while_training(workflow: Workflow, expected, victim: str, number: signal.Signals):
    """Whoever is killed, `make leaderboard` alone then ends with the same bytes, and no saved step is lost."""
    scheduler = workflow.start("snakemake", "--cores", "2")
    trainer = workflow.wait_until_training()
    if victim == "trainer":
        os.kill(trainer, number)
    elif victim == "scheduler":
        os.kill(scheduler.pid, number)
    else:
        os.killpg(scheduler.pid, number)
    code = scheduler.wait(TIMEOUT)
    assert code == -number if number == signal.SIGKILL and victim != "trainer" else code == 1
    until = time.monotonic() + TIMEOUT
    while workflow.trainers():
        assert time.monotonic() < until, "a trainer outlived its scheduler"
        time.sleep(0.05)
    if victim != "trainer":
        assert not (workflow.folder / "reports").exists(), "neither an interrupt nor a killed scheduler publishes"
    else:
        assert ",missing," in (workflow.folder / "reports/toy/cells.csv").read_text(), "its cells are shown as missing"
    workflow.make()
    assert workflow.scores() == expected
    logs = "".join(path.read_text() for path in workflow.folder.glob("results/toy/*/*/*/train.log"))
    # Asked to stop, a scheduler lets its running jobs finish; whoever is killed with its jobs goes on where they were.
    finished = victim == "scheduler" and number != signal.SIGKILL
    assert finished or "resuming after step" in logs


def test_failed_cell_is_shown_missing(workflow: Workflow, project: Project):
    """One method fails: the others are published, its mean stays empty, the exit code is 1, and mending heals it."""
    config = yaml.safe_load((workflow.folder / "params.yaml").read_text())
    broken = {"setting": "source", "segmenter": "broken", "floor": "source-only"}
    (workflow.folder / "odd.safetensors").write_bytes(b"no tensors")
    config["segmenters"]["broken"] = {"kind": "deeplabv3plus", "decoder_channels": 32, "weights": "odd.safetensors"}
    config["methods"]["broken"] = broken
    config["grid"]["methods"].append("broken")
    project.write(config)
    done = workflow.run("snakemake", "--cores", "2")
    assert done.returncode == 1
    assert "odd.safetensors" in done.stdout + done.stderr, "the finding reaches the terminal"
    rows = (workflow.folder / "reports/toy/cells.csv").read_text().splitlines()
    assert sum(row.startswith("broken,") and ",missing," in row for row in rows) == 2
    assert sum(",ok," in row for row in rows) == 4
    table = (workflow.folder / "reports/toy/leaderboard.csv").read_text().splitlines()
    header, row = table[0].split(","), next(r for r in table if r.startswith("broken,")).split(",")
    assert row[header.index("miou")] == ""
    config["segmenters"]["broken"]["weights"] = None
    project.write(config)
    workflow.make()
    assert ",missing," not in (workflow.folder / "reports/toy/cells.csv").read_text()


def test_single_target_publishes_nothing(workflow: Workflow):
    """Somebody who asks for one file gets that file."""
    from xdseg.params import load
    from xdseg.workflow import Plan

    plan = Plan(load())
    target = next(iter(plan.runs)) + "/run.json"
    assert workflow.run("snakemake", "--cores", "2", target).returncode == 0
    assert (workflow.folder / target).exists() and not (workflow.folder / "reports").exists()


def test_adopts_what_lies_there(workflow: Workflow, expected):
    """With all times shuffled and Snakemake's memory gone, jobs run again and no step is trained again."""
    workflow.make()
    weights = {path: path.stat().st_mtime_ns for path in workflow.folder.glob("results/toy/*/*/*/weights.safetensors")}
    for number, path in enumerate(sorted(workflow.folder.glob("results/**/*.json"), reverse=True)):
        os.utime(path, (1e9 + number, 1e9 + number))
    for path in weights:
        os.utime(path, ns=(weights[path], weights[path]))
    shutil.rmtree(workflow.folder / ".snakemake")
    shutil.rmtree(workflow.folder / "records")
    workflow.make()
    assert workflow.scores() == expected
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


def test_bad_settings_end_the_parse_with_one_line(workflow: Workflow, project: Project):
    """Under Snakemake bad input is exit code 1 and the same line."""
    config = yaml.safe_load((workflow.folder / "params.yaml").read_text())
    config["protocols"]["tiny"]["training"]["stepz"] = 3
    project.write(config)
    done = workflow.run("snakemake", "-n")
    assert done.returncode == 1
    assert "stepz: no such key; did you mean 'steps'?" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_changed_data_end_the_run_with_one_line(workflow: Workflow, data: Path):
    """Photographs that are not the locked ones are not trained on."""
    path = data / "toy/a/images/00.png"
    path.write_bytes((data / "toy/a/images/01.png").read_bytes())
    done = workflow.run("snakemake", "--cores", "2")
    assert done.returncode == 1
    assert "not the 4 images of a train in data/locks/toy.json" in done.stdout + done.stderr
    assert main(["prepare", "toy"]) == 0


def test_second_make_says_so(workflow: Workflow):
    """Two `make leaderboard` in one folder: the second ends at once with exit code 2."""
    first = workflow.start("make", "leaderboard", "CORES=2")
    workflow.wait_until_training()
    second = workflow.run("make", "leaderboard")
    assert second.returncode == 2 and "make: another 'make leaderboard' is at work" in second.stdout
    assert first.wait(TIMEOUT) == 0
