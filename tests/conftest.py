"""What tests share: small suites in the folder layout, and projects to run commands in."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("XDSEG_DATA") or ROOT.parent / "shared" / "data")  # photographs; may be absent
CLASSES = ["ground", "thing", "sky"]


def write_pair(folder: Path, name: str, *, seed: int, size: tuple[int, int] = (24, 32)) -> None:
    """An image of three flat regions with noise, and its label with a strip of ignore."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    label[: size[0] // 3] = 2
    top, left = rng.integers(4, size[0] - 10), rng.integers(2, size[1] - 12)
    label[top : top + 8, left : left + 10] = 1
    colours = np.array([[90, 90, 90], [200, 40, 40], [60, 120, 220]])
    image = np.clip(colours[label] + rng.normal(0, 12, (*size, 3)) + 10 * (seed % 5), 0, 255).astype(np.uint8)
    label[:, 0] = 255
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / "images" / f"{name}.png")
    Image.fromarray(label).save(folder / "labels" / f"{name}.png")


def write_suite(root: Path, name: str, domains: tuple[str, ...] = ("a", "b"), *, train: int = 4, val: int = 2) -> Path:
    """A suite of small images; returns its folder."""
    for number, domain in enumerate(domains):
        for split, count, first in (("train", train, 0), ("val", val, train)):
            names = [f"{first + i:02d}" for i in range(count)]
            for position, image in enumerate(names):
                write_pair(root / name / domain, image, seed=100 * number + first + position)
            (root / name / domain / f"{split}.txt").write_text("\n".join(names) + "\n")
    entries = {domain: {"train": train, "val": val} for domain in domains}
    write_suite_file(root / name, {"suite": name, "classes": CLASSES, "ignore_index": 255, "domains": entries})
    return root / name


def write_suite_file(folder: Path, contents: dict) -> None:
    """suite.json."""
    (folder / "suite.json").write_text(json.dumps(contents))


def edit_suite_file(folder: Path, **changes) -> None:
    """Replace top-level keys of suite.json."""
    write_suite_file(folder, json.loads((folder / "suite.json").read_text()) | changes)


def small_config(**grid) -> dict:
    """Settings of a grid on the suite `toy` that trains in seconds."""
    return {
        "suites": {"toy": {"kind": "folder", "root": "toy"}},
        "segmenters": {"deeplabv3plus": {"kind": "deeplabv3plus", "decoder_channels": 32}},
        "methods": {
            "source-only": {"setting": "source", "segmenter": "deeplabv3plus", "ceiling": "oracle"},
            "source-aug": {
                "setting": "source",
                "segmenter": "deeplabv3plus",
                "augmentation": {"jitter": {}},
                "floor": "source-only",
            },
            "oracle": {"setting": "oracle", "segmenter": "deeplabv3plus", "floor": "source-only"},
        },
        "protocols": {
            "tiny": {
                "training": {"steps": 6, "batch": 2, "lr": "1e-3", "precision": "bf16"},
                "augmentation": {"crop": 32},
            }
        },
        "grid": {"suite": "toy", "methods": ["source-only", "source-aug", "oracle"], "protocol": "tiny"} | grid,
        "runtime": {"checkpoint_every": 2, "log_every": 2},
    }


class Project:
    """A folder with params.yaml, the workflow and data, in which commands can be run."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.folder = folder
        self.write(config)
        for name in ("Snakefile", "pipeline", "profiles"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, symlinks=True)
            else:
                shutil.copy(source, folder / name)

    def write(self, config: dict) -> None:
        """Set params.yaml."""
        self.config = config
        (self.folder / "params.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that relative roots of suites lie below."""
    from xdseg.params import data_root

    folder = tmp_path / "data-root"
    folder.mkdir()
    monkeypatch.setenv("XDSEG_DATA", str(folder))
    data_root.cache_clear()
    yield folder
    data_root.cache_clear()


@pytest.fixture
def project(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project around the suite `toy`, as the current folder, prepared."""
    from xdseg.cli import main

    for name in ("XDSEG_CONFIG", "XDSEG_DIE_WITH_PARENT"):
        monkeypatch.delenv(name, raising=False)
    write_suite(data, "toy")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    made = Project(folder, small_config())
    assert main(["prepare", "toy"]) == 0
    return made
