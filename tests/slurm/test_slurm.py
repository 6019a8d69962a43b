"""The `ci` preset on a Slurm of two nodes: the same bytes as on one machine, whatever fails on the way."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_docs
import two_nodes
from conftest import ROOT
from test_docs import check_outputs, follow, read_guide
from test_workflow import SCORES
from two_nodes import Slurm, end, wait_until

REASON = two_nodes.missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=f"Slurm: {REASON}")]

CLONED = ("Snakefile", "params.yaml", "pipeline", "profiles", "pyproject.toml", "xdseg", "data", "backbones")
PRESET = "pipeline/presets/ci.yaml"
ON_SLURM = ("--workflow-profile", "pipeline/profiles/slurm", "--profile", "site.yaml")
TIMEOUT = 1800  # seconds that nothing here comes near, so that a hang is a failure
GPUS = """\
runtime:
  resources:
    train:
      default: {gpu: 1}
"""


class Clone:
    """A fresh clone of the working tree, and the environment of its user."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        origin = folder.with_name(f"{folder.name}-origin")
        origin.mkdir(parents=True)
        for name in CLONED:
            if (ROOT / name).is_dir():
                left = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, origin / name, symlinks=True, ignore=left)
            else:
                shutil.copy(ROOT / name, origin / name)
        cleared = {key: value for key, value in environment.items() if not key.startswith(("XDSEG_", "PYTEST_"))}
        author = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self.environment = cleared | author | {"PATH": path, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        for command in ("git init -q .", "git add .", "git commit -q -m start", f"git clone -q . {folder}"):
            subprocess.run(command.split(), cwd=origin, env=self.environment, check=True)

    def start(self, *command: str, **extra: str) -> subprocess.Popen:
        """Begin a command in a session of its own; its words go to `log`."""
        with self.log.open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment | extra,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=two_nodes.die_with_parent,
            )

    @property
    def log(self) -> Path:
        """Whatever commands said."""
        return self.folder.with_suffix(".log")

    def scores(self) -> dict[str, bytes]:
        """The published score files."""
        return {name: (self.folder / "reports/ci" / name).read_bytes() for name in SCORES}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """The two nodes, for all tests of this file."""
    with two_nodes.two_nodes() as started:
        yield started


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Scores of `snakemake --cores 2` on this machine."""
    clone = Clone(tmp_path_factory.mktemp("reference") / "clone", dict(os.environ))
    assert clone.start("snakemake", "--cores", "2", "--configfile", PRESET).wait(TIMEOUT) == 0, clone.log.read_text()
    return clone.scores()


def test_guide_works_word_for_word_with_the_same_bytes(slurm: Slurm, expected, tmp_path, monkeypatch):
    """docs/cluster.md in a fresh clone: every command, every promised line, and the score files of `--cores 2`."""
    clone = Clone(tmp_path / "clone", slurm.environment)
    for name, value in clone.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(test_docs, "TIMEOUT", TIMEOUT)
    guide, before = read_guide(ROOT / "docs/cluster.md"), set(slurm.jobs())
    assert list(guide.files) == ["site.yaml", "lab.yaml"] and len(guide.commands) == len(guide.expected)
    check_outputs(guide, follow(guide, clone.folder))
    assert clone.scores() == expected
    states = [job["JobState"] for number, job in slurm.jobs().items() if number not in before]
    assert states == ["COMPLETED"] * 6, "as the page says: six jobs"


def test_killed_process_lost_node_and_restarted_controller(slurm: Slurm, expected, tmp_path):
    """All of these in one start: it ends complete, with the same bytes, on GPUs and pixels of the nodes' own."""
    before = set(slurm.jobs())
    clone = Clone(tmp_path / "clone", slurm.environment)
    shutil.copy(site_file(tmp_path), clone.folder)
    (clone.folder / "gpus.yaml").write_text(GPUS)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    staging = {"NODE_SCRATCH": str(scratch), "XDSEG_STAGE": "$NODE_SCRATCH"}
    workflow = clone.start("snakemake", *ON_SLURM, "--configfile", PRESET, "gpus.yaml", **staging)

    def jobs(**wanted: str) -> list[dict[str, str]]:
        found = [job for number, job in slurm.jobs().items() if number not in before]
        return [job for job in found if all(job[key] == value for key, value in wanted.items())]

    def log() -> str:
        return clone.log.read_text() + slurm.log()

    wait_until(lambda: jobs(JobState="RUNNING"), "no job starts", log, TIMEOUT)
    slurm.stop_controller()
    slurm.start_controller()
    wait_until(lambda: trainers(clone), "no training saves a state", log, TIMEOUT)
    victim, run = next(iter(trainers(clone).items()))
    assert two_nodes.belongs(victim, "CUDA_VISIBLE_DEVICES=0\0"), "it sees the card that Slurm gave it"
    lost = next(name for name in two_nodes.NODES if name != two_nodes.node_of(victim))
    end(victim)
    slurm.lose_node(lost)
    wait_until(lambda: jobs(JobState="FAILED"), "the killed job does not fail", log, TIMEOUT)
    wait_until(lambda: jobs(Restarts="1", JobState="PENDING"), "no job of the lost node waits again", log, TIMEOUT)
    for job in jobs(Restarts="1"):
        assert slurm.run("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now").returncode == 0
    assert workflow.wait(TIMEOUT) == 0, log()
    assert clone.scores() == expected

    assert slurm.states()[lost].startswith("down"), "the rest ran on the other node"
    asked = [job["TRES"] for job in jobs() if job.get("TresPerJob") == "gres:gpu:1"]
    assert [sum(f"mem={size}," in tres for tres in asked) for size in ("4000M", "8000M")] == [2, 1], asked
    assert "resuming after step" in (run / "train.log").read_text()
    assert len(list(scratch.rglob("*--train--*.bin"))) == 4, "images and labels of two domains"


def site_file(folder: Path) -> Path:
    """site.yaml of the guide."""
    path = folder / "site.yaml"
    path.write_text(read_guide(ROOT / "docs/cluster.md").files[path.name])
    return path


def trainers(clone: Clone) -> dict[int, Path]:
    """Processes that train in a clone and have saved a state to go on from, each with the folder of its run."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(path / "cwd") == str(clone.folder)
        except OSError:
            continue
        if here and b"train" in command and any(word.endswith(b"xdseg") for word in command[:2]):
            run = clone.folder / Path(command[command.index(b"train") + 1].decode()).parent
            if (run / "resume.pt").exists():
                found[int(path.name)] = run
    return found
