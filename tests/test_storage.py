"""Weights to a remote and back: docs/storage.md word for word, against a folder and an S3 server on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, small_config
from test_docs import MARK, check_outputs, read_guide

from xdseg.cli import main
from xdseg.params import load
from xdseg.workflow import Plan

pytestmark = pytest.mark.slow

BUCKET, TIMEOUT = "lab", 600
REMOTE = 1  # number of the page's block that names the remote, in a folder
SCORES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "heatmap.svg", "metrics.json")


@pytest.fixture
def trained(project, monkeypatch) -> Path:
    """A project with one run, its record and its board, committed to git; the current folder."""
    project.write(small_config(methods=["source-only"], pairs=["a->b"]))
    plan, folder = Plan(load()), project.folder
    (cell,) = plan.cells
    run = str(cell.run.folder)
    indices = {*plan.training_inputs(run), *plan.prediction_inputs(run), *plan.scoring_inputs(str(cell.folder))}
    for path in sorted(path for path in indices if "/.cache/" in path):
        assert main(["cache", path]) == 0
    made = [("train", f"{run}/run.json"), ("predict", plan.predictions[run]), ("score", str(cell.score_path))]
    made += [("record", plan.records[0]), ("board", f"{plan.board}/cells.csv"), ("publish", f"{plan.board}/cells.csv")]
    for command, path in made:
        assert main([command, path]) == 0
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("config.local", "tmp", "cache"))
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    shell("git init --quiet --initial-branch main . && git add . && git commit --quiet --message start", folder)
    return folder


def shell(script: str, folder: Path, **environment: str) -> str:
    """Run lines of shell that must succeed; what they say."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("XDSEG_CONFIG", "PYTEST_", "DVC_", "GIT_", "AWS_"))
    }
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    caches = {"DVC_SITE_CACHE_DIR": str(folder.parent / "site"), "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=kept | who | caches | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def round_trip(trained: Path, monkeypatch, *, remote: str | None = None, **environment: str) -> None:
    """Follow the page, with another block that names the remote if given; then predict with what came back."""
    guide = read_guide(ROOT / "docs/storage.md")
    commands = [remote if remote and number == REMOTE else text for number, text in enumerate(guide.commands)]
    script = "".join(f"echo '{MARK}'\n{text}" for text in commands)
    check_outputs(guide, shell(script, trained, **environment).split(f"{MARK}\n")[1:])
    second = trained.parent / "second"
    assert not list(second.glob("results/*/*/*/*/train.log")), "nothing was trained there"
    board = "reports/toy"
    assert all((second / board / name).read_bytes() == (trained / board / name).read_bytes() for name in SCORES)
    monkeypatch.chdir(second)
    plan = Plan(load())
    (cell,) = plan.cells
    weights = f"{cell.run.folder}/weights.safetensors"
    assert (second / weights).read_bytes() == (trained / weights).read_bytes()
    for path in plan.prediction_inputs(str(cell.run.folder)):
        assert main(["cache", path]) == 0
    assert main(["train", f"{cell.run.folder}/run.json"]) == 0
    assert main(["predict", plan.predictions[str(cell.run.folder)]]) == 0
    record = json.loads((second / "records" / cell.record_name).read_text())
    predicted = json.loads((cell.folder / "predictions.json").read_text())
    assert predicted["sha256"] == record["digests"]["predictions"]


def test_folder_remote_round_trip(trained, monkeypatch, capsys):
    """Push, fresh clone, board without training, pull, and the pulled weights predict the recorded bytes."""
    round_trip(trained, monkeypatch)
    assert "already trained" in capsys.readouterr().out
    assert list((trained.parent / "store").rglob("*")), "the remote is that folder"


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of an S3 server that this test alone has, with one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    child = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
                break
            except urllib.error.URLError:
                assert child.poll() is None and time.monotonic() < until, "the server does not start"
                time.sleep(0.2)
        yield address
    finally:
        child.terminate()
        child.wait()


def test_s3_round_trip(trained, bucket, monkeypatch, capsys):
    """The same through a bucket; what was pushed lies there, and nowhere else."""
    name = (
        f"dvc remote add --local -d store s3://{BUCKET}/xdseg\ndvc remote modify --local store endpointurl {bucket}\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    round_trip(trained, monkeypatch, remote=f"{name}dvc push\n", **keys, AWS_EC2_METADATA_DISABLED="true")
    assert "already trained" in capsys.readouterr().out
    with urllib.request.urlopen(f"{bucket}/{BUCKET}?list-type=2") as answer:
        listed = answer.read().decode()
    assert listed.count("<Key>xdseg/files/md5/") == 5, "four files and their list"
    assert not (trained.parent / "store").exists()
