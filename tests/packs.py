"""A project with records that nobody trained but whose numbers hold, and packs of them to tamper with."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from conftest import small_config
from PIL import Image

from xdseg.cells import Cell
from xdseg.evaluation.confusion import confusion
from xdseg.evaluation.predictions import save_confusion
from xdseg.evaluation.summary import scores_of
from xdseg.files import file_digest
from xdseg.params import parse
from xdseg.records import COMMITTED, make_record, write_record
from xdseg.stages.train import make_receipt
from xdseg.workflow import Plan

HOST = {"segmenter": "deeplabv3plus", "host": "source-only", "floor": "source-only"}
METHODS = ["source-only", "oracle", "dacs", "fine-tune"]


def config() -> dict:
    """One method of every setting, on a -> b and b -> a."""
    settings = small_config(methods=METHODS)
    settings["adaptations"] = {"dacs": {"kind": "dacs"}}
    settings["methods"]["dacs"] = HOST | {"setting": "uda", "adaptations": ["dacs"]}
    settings["methods"]["fine-tune"] = HOST | {"setting": "finetune", "start": "source-only", "training": {"steps": 2}}
    return settings


def write_records(data: Path) -> list[Path]:
    """A committed record of every cell, by the code that makes them, from predictions that are partly wrong."""
    return [_write_record(cell, data, seed) for seed, cell in enumerate(Plan(parse(config())).cells)]


def _write_record(cell: Cell, data: Path, seed: int) -> Path:
    classes, path = cell.context.lock.classes, COMMITTED / cell.record_name
    names, rng = ("04", "05"), np.random.default_rng(seed)
    counts = [_confusion(data / f"toy/{cell.pair.target}/labels/{name}.png", rng) for name in names]
    stored = path.with_suffix(".scratch")
    save_confusion(stored, names, np.stack(counts))
    scores = scores_of(np.stack(counts), classes=classes, kept=cell.kept, scoring=cell.context.scoring)
    score = {"scores": scores, "confusion_file": {"name": path.with_suffix(".npz").name, "sha256": file_digest(stored)}}
    predictions = {"targets": {cell.pair.target: {"seconds": 1.5, "sha256": "b" * 64}}}
    run = make_receipt(cell.run, RESULT)
    write_record(path, make_record(cell, run=run, predictions=predictions, score=score), stored)
    stored.unlink()
    return path


def _confusion(label: Path, rng: np.random.Generator) -> np.ndarray:
    truth = np.array(Image.open(label))
    found = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 3, truth.shape), truth % 255).astype(np.uint8)
    return confusion(truth, found, classes=3, ignore_index=255)


RESULT = {
    "weights_sha256": "a" * 64,
    "parameters": 1000,
    "trainable": 1000,
    "steps": 6,
    "train_seconds": 9.0,
    "images_per_second": 4.0,
    "peak_memory_mb": None,
    "precision": "bf16",
    "torch": "2.15.0",
    "device": "a machine of lab A",
    "about": {"commit": "c" * 40, "dirty": False, "started": "2026-01-02T03:04:05+00:00", "ended": None},
}


class Tampered:
    """The contents of a pack, to change one thing and write it again."""

    def __init__(self, pack: Path) -> None:
        with ZipFile(pack) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.files.pop("manifest.json"))
        self.links: list[str] = []

    def path_of(self, method: str, pair: str = "a--b", ending: str = "json") -> str:
        """The member of a method's record, or of what lies beside it."""
        (found,) = [name for name in self.files if f"/{method}/{pair}/" in name and name.endswith(ending)]
        return found

    def record(self, method: str, change: Callable[[dict], None]) -> None:
        """Change the record of a method on a -> b, and the manifest's hash of it."""
        name = self.path_of(method)
        contents = json.loads(self.files[name])
        change(contents)
        self.put(name, json.dumps(contents).encode())

    def put(self, name: str, contents: bytes) -> None:
        """Put a file in place, and its hash into the manifest."""
        self.files[name] = contents
        self.manifest["files"][name] = sha256(contents).hexdigest()

    def write(self, path: Path) -> Path:
        """Write the pack."""
        with ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", json.dumps(self.manifest))
            for name, contents in self.files.items():
                member = ZipInfo(name)
                member.external_attr = (0o120777 if name in self.links else 0o100644) << 16
                archive.writestr(member, contents)
        return path
