"""Target labels cannot leak: what a setting does not grant is never opened, and garbage in it changes no byte."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REAL_DATA, edit_suite_file, small_config, write_suite_file
from PIL import Image

from xdseg.cells import Context, predictions_path
from xdseg.cli import main
from xdseg.grid import expand
from xdseg.params import parse
from xdseg.workflow import Plan, cache_path

# Runs a command and writes down every file that it opens, through Python or through a memory map.
AUDITED = """
import os, sys
opened = os.open(os.environ["AUDIT"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def audit(event, arguments):
    if event in ("open", "os.open", "os.scandir", "os.listdir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        os.write(opened, (os.fsdecode(arguments[0]) + "\\n").encode())
sys.addaudithook(audit)
from xdseg.cli import main
sys.exit(main(sys.argv[1:]))
"""


def stage(*arguments: str, audit: Path) -> None:
    """One command in a process of its own, audited."""
    environment = os.environ | {"AUDIT": str(audit), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", AUDITED, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def train_and_predict(config: dict, audit: Path) -> dict[str, str]:
    """Train every `source` run of the grid whose source is a, predict on b; digests of what came out."""
    shutil.rmtree("results", ignore_errors=True)
    here = Context.of(parse(config))
    cells = [cell for cell in expand(here).cells if cell.definition.setting == "source" and cell.pair.source == ("a",)]
    found = {}
    for run in {cell.run.key: cell.run for cell in cells}.values():
        for seen in run.sees:
            stage("cache", cache_path(here, *seen), audit=audit)
        stage("cache", cache_path(here, "b", "val", "images"), audit=audit)
        stage("train", str(run.folder / "run.json"), audit=audit)
        stage("predict", str(predictions_path(run, cells)), audit=audit)
        found[f"{run.method} fingerprint"] = run.fingerprint
        for path in [run.folder / "weights.safetensors", *run.folder.glob("b-*/predictions.zip")]:
            found[f"{run.method} {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.slow
def test_poisoned_or_absent_target_labels_change_nothing(project, data, tmp_path):
    """Garbage in all of b's training labels, then no labels at all: same fingerprints, weights and predictions.

    Nor is one of those labels, their decoded copy or their lock ever opened.
    """
    config = small_config(pairs=["a->b"])
    project.write(config)
    clean = train_and_predict(config, tmp_path / "audit")
    assert len(clean) == 6  # two methods, each with fingerprint, weights and predictions
    rng = np.random.default_rng(0)
    for path in sorted((data / "toy/b/labels").glob("0[0-3].png")):
        Image.fromarray(rng.integers(0, 3, (24, 32), dtype=np.uint8)).save(path)
    assert main(["prepare", "toy"]) == 0
    assert train_and_predict(config, tmp_path / "audit") == clean
    for path in (data / "toy/b/labels").glob("0[0-3].png"):
        path.unlink()
    domains = json.loads((data / "toy/suite.json").read_text())["domains"]
    domains["b"]["unlabelled"] = ["train"]
    edit_suite_file(data / "toy", domains=domains)
    assert main(["prepare", "toy"]) == 0
    assert train_and_predict(config, tmp_path / "audit") == clean
    opened = set((tmp_path / "audit").read_text().split("\n"))
    assert any("a/labels" in path for path in opened), "the audit sees label files"
    assert [
        path for path in opened if "b/labels" in path or "b--train--labels" in path or "b--train.labels" in path
    ] == []


def test_ungranted_labels_are_not_named(project):
    """What a `source` or `uda` training is handed holds no trace of the target's labels."""
    config = small_config(methods=["adapting"], pairs=["a->b"])
    config["methods"]["adapting"] = {"setting": "uda", "segmenter": "deeplabv3plus"}
    cell = expand(Context.of(parse(config))).cells[0]
    assert ("b", "train", "images") in cell.run.sees and ("b", "train", "labels") not in cell.run.sees
    assert set(cell.run.payload["target"]) == {"domain", "split", "images"}
    assert [
        path for path in Plan(parse(config)).training_inputs(str(cell.run.folder)) if "b--train--labels" in path
    ] == []


@pytest.mark.slow
@pytest.mark.skipif(not (REAL_DATA / "vessels").is_dir(), reason="no real photographs here; set XDSEG_DATA")
def test_poison_on_real_photographs(project, data, tmp_path):
    """The same on retinal photographs: all labels of STARE's training split are garbage."""
    source = REAL_DATA / "vessels"
    for old, new in (("drive", "a"), ("stare", "b")):
        shutil.rmtree(data / "toy" / new)
        for split in ("train", "val"):
            names = (source / old / f"{split}.txt").read_text().split()[:3]
            for kind in ("images", "labels"):
                (data / "toy" / new / kind).mkdir(parents=True, exist_ok=True)
                for name in names:
                    path = next((source / old / kind).glob(f"{name}.*"))
                    target = data / "toy" / new / kind / path.name
                    target.write_bytes(path.read_bytes())
            (data / "toy" / new / f"{split}.txt").write_text("\n".join(names) + "\n")
    counts = {"train": 3, "val": 3}
    suite = {"suite": "toy", "classes": ["background", "vessel"], "domains": {"a": counts, "b": counts}}
    write_suite_file(data / "toy", suite)
    config = small_config(pairs=["a->b"], methods=["source-only"])
    project.write(config)
    assert main(["prepare", "toy"]) == 0
    clean = train_and_predict(config, tmp_path / "audit")
    for name in (data / "toy/b/train.txt").read_text().split():
        path = data / f"toy/b/labels/{name}.png"
        Image.fromarray(255 * (np.array(Image.open(path)) == 0).astype(np.uint8)).save(path)
    assert main(["prepare", "toy"]) == 0
    assert train_and_predict(config, tmp_path / "audit") == clean
