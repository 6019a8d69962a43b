"""Which records MLflow shows: the grid's, or all; what was made here before what is committed, each cell once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.records import COMMITTED, PRODUCED
from xdseg.reporting.records import load_record
from xdseg.tracking.inputs import Inputs
from xdseg.tracking.wanted import Wanted, cell, training
from xdseg.workflow import Plan

PATTERN = "*/*/*/s*.json"  # suite/method/source--target/s0-0123abcd.json
Recorded = dict[str, tuple[Path, dict[str, Any]]]  # path and contents by path below records/


def grid_records(plan: Plan) -> list[Path]:
    """Records of the grid in force, as its board shows them, and of the rows entered beside it."""
    return [path for path in map(Path, [*plan.records, *plan.entered]) if path.exists()]


def all_records() -> list[Path]:
    """Every record of every suite."""
    found = {path.relative_to(root): path for root in (COMMITTED, PRODUCED) for path in root.glob(PATTERN)}
    return [found[name] for name in sorted(found)]


def key_of(path: Path) -> str:
    """Path below records/, which names suite, method, pair, seed and score fingerprint."""
    return "/".join(path.parts[-4:])


def load_all(paths: Iterable[Path]) -> Recorded:
    """The contents of records. Raises BadInput for the first that cannot be used, before anything is written."""
    return {key_of(path): (path, read_record(path)) for path in paths}


def read_record(path: Path) -> dict[str, Any]:
    """A record that can be mirrored. Raises BadInput naming it."""
    record = load_record(path)
    if record["origin"] == "run" and not all(isinstance(record.get(k), t) for k, t in NEEDED.items()):
        raise BadInput(f"{path}: no valid record: a run's has {', '.join(NEEDED)}; delete it and run again")
    return record


NEEDED = {"run": str, "digests": dict, "settings": dict}


def wanted_runs(recorded: Recorded, inputs: Inputs | None = None) -> list[Wanted]:
    """Every training behind the records, each before its cells. Raises BadInput naming a record.

    With `inputs`, the data behind each is looked up.
    """
    if inputs:
        inputs.learn(record for _, record in recorded.values())
    of_run: dict[tuple[str, str], list[str]] = {}
    for key, (_, record) in recorded.items():
        of_run.setdefault((record.get("run") or "", record["benchmark_version"]), []).append(key)
    wanted = []
    for (run, _), keys in sorted(of_run.items()):
        if run:
            wanted.append(_training([recorded[key] for key in keys], inputs))
        wanted += [_cell(key, *recorded[key], inputs) for key in keys]
    return wanted


def _training(recorded: list[tuple[Path, dict[str, Any]]], inputs: Inputs | None) -> Wanted:
    if not inputs:
        return training(recorded)
    # any record of a run tells what it learnt from, but an oracle's row knows only one of its names
    found = next(filter(None, (inputs.of_training(record) for _, record in recorded)), ())
    return training(recorded, inputs=found, terms=inputs.terms(recorded[0][1]))


def _cell(key: str, path: Path, record: dict[str, Any], inputs: Inputs | None) -> Wanted:
    return cell(key, path, record, inputs=inputs.of_cell(record) if inputs else ())
