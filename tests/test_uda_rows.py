"""Every row of params.yaml that adapts without labels, by the stages' own commands: garbage labels change no byte."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from xdseg.cells import Context
from xdseg.cli import main
from xdseg.grid import expand
from xdseg.params import parse
from xdseg.workflow import cache_path

DEFINED = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())


def setting_of(row):
    """Of a row, or of the one that it is `like`."""
    defined = DEFINED["methods"][row]
    return defined.get("setting") or setting_of(defined["like"])


ROWS = [row for row in DEFINED["methods"] if setting_of(row) == "uda"]


def without_weights(settings):
    """The same settings, at every depth, with random initial weights."""
    if not isinstance(settings, dict):
        return settings
    return {key: without_weights(value) for key, value in settings.items() if key != "weights"}


def config_of(row, project):
    """The toy grid with one row of params.yaml: three steps, random initial weights, its own terms and networks."""
    defined, config = deepcopy(DEFINED), project.config
    config["segmenters"] = without_weights(defined["segmenters"])
    config["adaptations"], config["methods"] = defined["adaptations"], defined["methods"]
    config["adaptations"]["feature-distance"]["classes"] = ["sky"]
    for term in ("self-training", "mask-self-training", "dacs"):
        config["adaptations"][term]["threshold"] = 0.0  # so that pseudo-labels count in full
    config["protocols"]["tiny"] = {
        "training": {"steps": 3, "batch": 2, "lr": "1e-3", "precision": "fp32"},
        "augmentation": {"crop": 128},
    }
    config["grid"] |= {"methods": [row], "pairs": ["a->b"]}
    return config


def trained(config):
    """Train the row on a->b; the run's folder and its weights' digest. It sees b's images and none of its labels."""
    run = next(cell.run for cell in expand(Context.of(parse(config))).cells)
    assert {what for domain, _, what in run.sees if domain == "b"} == {"images"}
    for seen in run.sees:
        assert main(["cache", cache_path(run.context, *seen)]) == 0
    assert main(["train", str(run.folder / "run.json")]) == 0
    return run.folder, json.loads((run.folder / "run.json").read_text())["weights"]


def scribble(folder, shape):
    """Garbage in place of b's training images or labels."""
    rng = np.random.default_rng(0)
    for path in sorted(folder.glob("0[0-3].png")):
        Image.fromarray(rng.integers(0, 3 if len(shape) == 2 else 255, shape, dtype=np.uint8)).save(path)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_poisoned_target_labels_change_no_byte(row, project, data, tmp_path):
    """Garbage in the target's training labels: the same folder and weights. Garbage in its images: others."""
    config = config_of(row, project)
    project.write(config)
    folder, clean = trained(config)
    scribble(data / "toy/b/labels", (24, 32))
    assert main(["prepare", "toy"]) == 0
    project.folder.joinpath("results").rename(tmp_path / "clean")
    assert trained(config) == (folder, clean)
    scribble(data / "toy/b/images", (24, 32, 3))
    assert main(["prepare", "toy"]) == 0
    other_folder, other = trained(config)
    assert other_folder != folder and other != clean
