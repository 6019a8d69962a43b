"""What jobs ask for: by rule, kind and attempt; enough for everything on record; and what is refused in one line."""

import json
import re
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT

from xdseg.errors import BadInput
from xdseg.params import load
from xdseg.registry import SEGMENTERS
from xdseg.resources import LEAST, RULES, needs_of, requests, resource_tables
from xdseg.workflow import Plan

SHIPPED = {
    rule: {"default": {"mem_mb": 100, "runtime": 10, "gpu": 0, "cpus_per_task": 1}}
    for rule in ("train", "predict", "cache", "backbone", "score", "record")
}


def test_own_table_comes_before_the_shipped_one():
    """Kind over default within a table, and a lab's table over the project's, also its default over their kind."""
    shipped = {"train": {"default": {"mem_mb": 1, "runtime": 2, "gpu": 0}, "eomt": {"mem_mb": 3, "runtime": 4}}}
    own = {"train": {"default": {"mem_mb": 10}, "mfuser": {"gpu": 2}}}
    assert needs_of((shipped,), "train", "eomt") == {"mem_mb": 3, "runtime": 4, "gpu": 0}
    assert needs_of((shipped, own), "train", "eomt") == {"mem_mb": 10, "runtime": 4, "gpu": 0}
    assert needs_of((shipped, own), "train", "mfuser") == {"mem_mb": 10, "runtime": 2, "gpu": 2}
    assert needs_of((shipped, own), "train", "hrda") == {"mem_mb": 10, "runtime": 2, "gpu": 0}


def test_every_kind_is_provided_for():
    """Rules ask for all keys whatever segmenter is registered."""
    shipped = resource_tables({})[0]
    assert set(shipped) == set(RULES)
    for kind in SEGMENTERS:
        assert set(needs_of((shipped,), "train", kind)) == set(LEAST)


def test_shipped_figures_cover_what_is_on_record():
    """No training or prediction in records/ took more memory or time than its kind asks for at first."""
    shipped, seen = resource_tables({})[0], set()
    for path in (ROOT / "records").glob("*/*/*/s*.json"):
        record = json.loads(path.read_text())
        if "costs" not in record or "settings" not in record:
            continue
        kind, costs = record["settings"]["segmenter"]["kind"], record["costs"]
        train, predict = needs_of((shipped,), "train", kind), needs_of((shipped,), "predict", kind)
        seen.add(kind)
        assert costs["peak_memory_mb"] < train["mem_mb"], path
        assert costs["train_seconds"] < train["runtime"] * 60, path
        assert costs["predict_seconds"] < predict["runtime"] * 60, path
    assert {"deeplabv3plus", "daformer", "eomt", "mfuser"} <= seen


def test_a_later_attempt_asks_for_more(project):
    """Memory and minutes grow with the attempt; GPUs and cores do not. The run's kind decides."""
    write(project, SHIPPED | {"train": SHIPPED["train"] | {"deeplabv3plus": {"mem_mb": 700, "gpu": 1}}})
    plan = Plan(load())
    folder = next(iter(plan.runs)).split("/")
    seed, train = re.fullmatch(r"s(\d+)-(\w+)", folder[4]).groups()
    wildcards = SimpleNamespace(suite=folder[1], method=folder[2], pair=folder[3], seed=seed, train=train)
    asked = requests(plan)("train")
    values = {key: [asked[key](wildcards, attempt) for attempt in (1, 3)] for key in asked}
    assert values == {"mem_mb": [700, 2100], "runtime": [10, 30], "gpu": [1, 1], "cpus_per_task": [1, 1]}
    assert requests(plan)("score")["mem_mb"](wildcards, 2) == 200


def test_settings_lay_their_own_table_over(project):
    """`runtime.resources` reaches the rules, and stands in no fingerprint."""
    write(project, SHIPPED)
    before = list(Plan(load()).runs)
    project.write(project.config | {"runtime": {"resources": {"score": {"default": {"mem_mb": 5}}}}})
    plan = Plan(load())
    assert list(plan.runs) == before
    assert requests(plan)("score")["mem_mb"](None, 1) == 5


WRONG = {
    "rule": ({"trian": {}}, "trian: no such key; did you mean 'train'?"),
    "kind": ({"train": {"eomtt": {}}}, "train: eomtt: no such key; did you mean 'eomt'?"),
    "kind of a rule without network": ({"score": {"eomt": {}}}, "score: eomt: no such key; known are default"),
    "key": (
        {"train": {"eomt": {"memory": 1}}},
        "train.eomt: memory: no such key; known are cpus_per_task, gpu, mem_mb",
    ),
    "value": ({"train": {"eomt": {"gpu": -1}}}, "train.eomt.gpu: expected a whole number of at least 0, got -1"),
    "text": (
        {"train": {"eomt": {"mem_mb": "4G"}}},
        "train.eomt.mem_mb: expected a whole number of at least 1, got '4G'",
    ),
    "yes": ({"train": {"eomt": {"gpu": True}}}, "train.eomt.gpu: expected a whole number of at least 0, got True"),
    "no map": ({"train": {"eomt": 4}}, "train.eomt: expected a map, got 4"),
}


@pytest.mark.parametrize("table, line", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_used_is_refused_in_one_line(project, table: dict, line: str):
    """In the shipped file, named by its path, and in the settings, named by their key; the parse ends there."""
    write(project, SHIPPED)
    with pytest.raises(BadInput, match="^" + re.escape(f"runtime.resources: {line}")):
        resource_tables(table)
    write(project, SHIPPED | table)
    with pytest.raises(SystemExit, match="^" + re.escape(f"pipeline/resources.yaml: {line}") + "[^\n]*$"):
        requests(Plan(load()))


def test_a_default_needs_every_key(project):
    """A table without a figure is found before anything is submitted."""
    write(project, SHIPPED | {"record": {"default": {"mem_mb": 1, "gpu": 0}}})
    with pytest.raises(BadInput, match="missing cpus_per_task, runtime; a default needs every key"):
        resource_tables({})


def write(project, table: dict) -> None:
    """Replace the project's resources."""
    (project.folder / "pipeline/resources.yaml").write_text(yaml.safe_dump(table))
