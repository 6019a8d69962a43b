"""What MLflow is to show: a run per training with its card, nested in it a run per cell; `boards` adds theirs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xdseg import __version__
from xdseg.canonical import fingerprint
from xdseg.cells import RUN_FOLDER
from xdseg.errors import BadInput
from xdseg.records import read_json
from xdseg.reporting.origin import origin_of
from xdseg.tracking.cards import fit, plain, training_card
from xdseg.tracking.curves import MILLISECONDS, Point, read_points, recorded_points
from xdseg.tracking.inputs import Input
from xdseg.tracking.names import PARAM, TAG, flat_settings, metric_names, text

TRAINING, CELL, BOARD, ROW = "training", "cell", "board", "row"
FINISHED, RUNNING, KILLED = "FINISHED", "RUNNING", "KILLED"  # MLflow's words
NOTE = "mlflow.note.content"  # the description that MLflow shows, and that people may edit there
OUR_PREFIXES = ("xdseg.", "git.", "mlflow.")
OUR_TAGS = {"suite", "method", "setting", "source", "target", "seed", "protocol", "origin", "board", "seeds"} | {
    "device",
    "precision",
    "torch",
}


@dataclass(frozen=True)
class Wanted:
    """One run as MLflow is to show it. Times are in milliseconds since 1970; None stands for now."""

    kind: str
    key: str  # finds it again: name of the training, record of the cell, content of the board
    suite: str
    name: str
    start: int | None = None
    end: int | None = None
    status: str = FINISHED
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # one value each, known at the end
    curve: Sequence[Point] = ()
    parent: str | None = None  # key of what it is nested in: a cell in its training, a row in its board
    version: str = __version__  # of the benchmark
    inputs: tuple[Input, ...] = ()
    files: tuple[Path, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()  # further artifacts: path and contents
    tables: tuple[str, ...] = ()  # which of these MLflow shows as tables
    note: str = ""  # the description, in Markdown; one that people have edited is left
    shows: frozenset[str] = frozenset()  # of a board: short score fingerprints

    @property
    def all_tags(self) -> dict[str, str]:
        """Tags with those that find the run; values cut to what MLflow takes."""
        tags = {"xdseg.kind": self.kind, "xdseg.key": self.key, "suite": self.suite} | self.tags
        return {key: value[:TAG] for key, value in tags.items()}

    @property
    def content(self) -> str:
        """Equal for equal contents, 64 hexadecimal characters: what is the same need not be written again."""
        # a board's contents are its key
        apart = ("files", "texts", "tables", "shows")
        return fingerprint({name: value for name, value in asdict(self).items() if name not in apart})


def milliseconds(moment: str | None, path: Path) -> int | None:
    """A record's time, ISO 8601, as MLflow counts it. Raises BadInput naming the record."""
    if moment is None:
        return None
    try:
        read = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        raise BadInput(f"{path}: environment: {moment!r} is no time; delete it and run again") from None
    return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * MILLISECONDS)


def training(
    recorded: Iterable[tuple[Path, dict[str, Any]]],
    *,
    inputs: tuple[Input, ...] = (),
    terms: Mapping[str, str] | None = None,
) -> Wanted:
    """The training behind all records of one run, with its card. `terms` are those of each domain it learnt from.

    Records of one run may come from two machines that each trained it; then the one that has a curve counts, and of
    those the latest. Each cell keeps what its own record says.
    """
    recorded = list(recorded)
    path, record = max(recorded, key=_newest)
    environment, costs = record["environment"] or {}, record["costs"] or {}
    start = milliseconds(environment.get("started"), path)
    points, times = recorded_points(record, path, start=start)
    wanted = _trained(record["run"], path, record, points, times=times)
    spent = {key: value for key, value in costs.items() if key != "predict_seconds"}
    fingerprints = {"xdseg.train": record["fingerprints"]["train"], "xdseg.weights": record["digests"]["weights"]}
    # what made it is told by the record that counts, the scores by all
    alike = [record, *(other for _, other in recorded if other is not record)]
    return replace(
        wanted,
        metrics=_costs(spent, record["model"]),
        tags=wanted.tags | fingerprints,
        version=record["benchmark_version"],
        inputs=inputs,
        note=training_card(wanted.tags, alike, inputs, terms=terms or {}),
    )


def _newest(recorded: tuple[Path, dict[str, Any]]) -> tuple:
    path, record = recorded
    return bool(record.get("curve")), (record["environment"] or {}).get("ended", ""), str(path)


def trained(name: str, path: Path, curve: Path) -> Wanted:
    """A training that has ended but has no record yet, from receipt and curve. Raises BadInput naming either."""
    receipt = read_json(path)
    try:
        start = milliseconds(receipt["environment"].get("started"), path)
        points, times = read_points(curve, costs=receipt["costs"], start=start)
        return _of_receipt(name, path, receipt, points, times)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: no receipt of a run ({error!r}); delete it and run again") from None


def _of_receipt(name: str, path: Path, receipt: dict[str, Any], points: Sequence[Point], times: str) -> Wanted:
    wanted = _trained(name, path, receipt, points, times=times)
    fingerprints = {"xdseg.train": receipt["fingerprint"], "xdseg.weights": receipt["weights"]}
    return replace(wanted, metrics=_costs(receipt["costs"], receipt["model"]), tags=wanted.tags | fingerprints)


def _trained(name: str, path: Path, about: dict[str, Any], points: Sequence[Point], *, times: str) -> Wanted:
    environment = about["environment"] or {}
    started = milliseconds(environment.get("started"), path)
    # a resumed run's record knows when its last process started; the first point may be older
    start = min((moment for moment in (started, *(p.time for p in points[:1])) if moment is not None), default=None)
    end = milliseconds(environment.get("ended"), path)
    return replace(
        running(name, points, about["settings"]),
        start=start,
        end=end if end is not None else start,
        status=FINISHED,
        tags=_run_tags(name) | _environment(environment) | {"xdseg.times": times},
    )


def running(name: str, points: Sequence[Point], settings: dict[str, Any], *, status: str = RUNNING) -> Wanted:
    """A training that goes on, or was killed, as far as it is known."""
    tags = _run_tags(name)
    pair = "→".join(filter(None, (tags["source"], tags.get("target"))))
    return Wanted(
        kind=TRAINING,
        key=name,
        suite=name.split("/")[0],
        name=f"{tags['method']} {pair} s{tags['seed']} · training",
        start=points[0].time if points else None,
        end=points[-1].time if points and status != RUNNING else None,
        status=status,
        tags=tags | {"xdseg.times": "recorded"},
        params=flat_settings(settings),
        curve=tuple(points),
    )


def _run_tags(name: str) -> dict[str, str]:
    found = RUN_FOLDER.fullmatch(name)
    if not found:
        raise BadInput(f"{name}: no name of a run, as suite/method/source/s0-0123abcd")
    source, _, target = found["pair"].partition("--")
    tags = {"method": found["method"], "source": source, "seed": found["seed"], "mlflow.source.name": "xdseg train"}
    return tags | ({"target": target} if target else {})


def cell(key: str, path: Path, record: dict[str, Any], *, inputs: tuple[Input, ...] = ()) -> Wanted:
    """One scored cell; a row entered from predictions has no training to be nested in."""
    source, target = "+".join(record["source"]), record["target"]
    environment, costs, scores = record["environment"] or {}, record["costs"] or {}, record["scores"]
    # when it was predicted is not recorded: shown as if right after the training, for as long as it took
    start = milliseconds(environment.get("ended") or environment.get("started"), path)
    end = None if start is None else start + round(costs.get("predict_seconds", 0) * MILLISECONDS)
    names = metric_names("iou", record["classes"])
    ious = {names[name]: value for name, value in scores["iou"].items()}
    values = {"miou": scores["miou"], "pixel_accuracy": scores["pixel_accuracy"]} | ious
    # also as parameters: by these MLflow compares, groups and draws axes
    about = {
        "method": record["method"],
        "setting": record["setting"],
        "source": source,
        "target": target,
        "seed": str(record["seed"]),
        "protocol": record["protocol"]["name"],
    }
    prints = {f"xdseg.{stage}": digest for stage, digest in record["fingerprints"].items() if digest}
    return Wanted(
        kind=CELL,
        key=key,
        suite=record["suite"],
        name=f"{record['method']} {source}→{target} s{record['seed']}",
        start=start,
        end=end,
        params={key: value[:PARAM] for key, value in about.items()},
        tags=about
        | {"origin": origin_of(record), "mlflow.source.name": "xdseg score"}
        | _environment(environment)
        | prints,
        metrics={name: float(v) for name, v in values.items() if v is not None} | _costs(costs, record["model"]),
        parent=record.get("run"),
        version=record["benchmark_version"],
        inputs=inputs,
        note=fit(plain(record.get("note") or "")),
    )


def _costs(costs: dict[str, Any], model: dict[str, Any] | None) -> dict[str, float]:
    measured = {f"resources/{name}": value for name, value in costs.items()} | (
        {"resources/parameters": model["parameters"]} if model else {}
    )
    return {name: float(value) for name, value in measured.items() if isinstance(value, int | float)}


def _environment(environment: dict[str, Any]) -> dict[str, str]:
    names = {"commit": "git.commit", "dirty": "git.dirty", "xdseg": "xdseg.version"}
    known = {
        names.get(key, key): text(environment[key])
        for key in ("commit", "dirty", "device", "precision", "torch", "xdseg")
        if environment.get(key) is not None
    }
    return known | ({"mlflow.source.git.commit": known["git.commit"]} if "git.commit" in known else {})
