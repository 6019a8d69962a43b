"""A suite of one public data set in GTA5's layout, and the two ways to check and lock it.

As a script it is the second of them: python benchmarks/dataset_project.py FOLDER PAIRS. It imports nothing that is not
needed for that, since a fresh process is measured.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from xdseg.data.ledger import Ledger
from xdseg.data.prepare_public import prepare_public
from xdseg.data.public import PublicLayout, public_layout
from xdseg.settings.suites import PublicSuite

ROOT = Path(__file__).parents[1]
SUITE = DOMAIN = "gta5"
SPLIT = "full"
UNSET = ("XDSEG_CONFIG", "XDSEG_DIE_WITH_PARENT")


def layout(folder: Path, pairs: int) -> PublicLayout:
    """The suite, of which `pairs` pairs are expected."""
    domain = {"dataset": "gta5", "root": str(folder / "gta5"), "counts": {SPLIT: pairs}}
    return public_layout(SUITE, PublicSuite(kind="public", classes="cityscapes", domains={DOMAIN: domain}))


def prepare(folder: Path, pairs: int) -> None:
    """Check and lock in this process, what is known from before included."""
    with chdir(folder):
        prepare_public(layout(folder, pairs), {DOMAIN: {SPLIT}})


def forget(folder: Path) -> None:
    """Remove what a check leaves, so that the next looks at every file."""
    for name in ("data", "results"):
        shutil.rmtree(folder / name, ignore_errors=True)


def lock(folder: Path) -> dict[str, bytes]:
    """The files of the lock by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "data").rglob("*.json"))}


def looks(folder: Path, pairs: int) -> list[tuple[bool, list[int], str, str]]:
    """Of each pair, as the last check wrote it down: is it of one size, the ids of its label, both digests."""
    with chdir(folder):
        suite = layout(folder, pairs)
        asked = [suite.errands(DOMAIN, item) for item in suite.items(DOMAIN, SPLIT)]
        known = Ledger(SUITE).looks([errand for pair in asked for errand in pair if errand])
    found = [[known[errand] for errand in pair if errand] for pair in asked]
    return [
        (image.shape == label.shape, [i for i, _ in label.ids], image.sha256, label.sha256) for image, label in found
    ]


def overlay(folder: Path, pairs: int) -> None:
    """The settings under which the command locks the same split."""
    shutil.copy(ROOT / "params.yaml", folder)
    domains = {DOMAIN: {"train_split": SPLIT, "eval_split": SPLIT}}
    protocol = {"training": {"steps": 1, "batch": 1, "lr": 0.1}, "augmentation": {"crop": 64}, "domains": domains}
    grid = {"suite": SUITE, "pairs": "all", "methods": ["source-only"], "protocol": SUITE}
    suites = {SUITE: layout(folder, pairs).settings.model_dump()}
    contents = {"suites": suites, "protocols": {SUITE: protocol}, "grid": grid}
    (folder / "overlay.yaml").write_text(json.dumps(contents))  # JSON is YAML


def command(folder: Path) -> None:
    """`xdseg prepare` in a process of its own. Raises SystemExit with what it says if it fails."""
    _run([sys.executable, "-m", "xdseg.cli", "--configfile", "overlay.yaml", "prepare", SUITE], folder)


def process(folder: Path, pairs: int) -> None:
    """The function in a process of its own."""
    _run([sys.executable, str(Path(__file__)), str(folder), str(pairs)], folder)


def _run(arguments: list[str], folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"dataset_check: {' '.join(arguments)} failed\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), int(sys.argv[2]))
