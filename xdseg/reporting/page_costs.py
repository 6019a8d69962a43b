"""Costs of a board by method: every training once, whoever shares it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from xdseg.reporting.cells_table import TableCell

SECONDS = 60  # in a minute


@dataclass(frozen=True)
class Cost:
    """What the runs that bear a method's name took. Texts, empty where nothing is known."""

    method: str
    runs: int
    shared: str  # the method whose runs it uses instead, or empty
    minutes: float | None  # of all runs
    per_run: str
    speed: str
    memory: str
    predicting: str
    devices: str
    dirty: bool  # were some trained with changes not committed?
    numbers: dict[str, float | None]  # means: minutes of a run, seconds to predict a target, peak memory in MB


def costs(cells: Sequence[TableCell]) -> list[Cost]:
    """A line per method with costs, in the cells' order."""
    known = [cell for cell in cells if cell.record and cell.record["costs"]]
    return [_cost(method, known) for method in dict.fromkeys(cell.method for cell in known)]


def _cost(method: str, known: Sequence[TableCell]) -> Cost:
    cells = [cell for cell in known if cell.method == method]
    owners = {_owner(cell) for cell in cells}
    runs = {cell.record["fingerprints"]["train"]: cell.record for cell in cells}
    train = _values(runs.values(), "train_seconds")
    predict = _values((cell.record for cell in cells), "predict_seconds")
    memory = _values(runs.values(), "peak_memory_mb")
    environments = [record["environment"] or {} for record in runs.values()]
    devices = sorted({f"{e.get('device')}, {e.get('precision')}" for e in environments if e.get("device")})
    return Cost(
        method=method,
        runs=len(runs),
        shared="" if owners == {method} else ", ".join(sorted(owners - {method})),
        minutes=fsum(train) / SECONDS if train else None,
        per_run=_range([seconds / SECONDS for seconds in train], 1),
        speed=_range(_values(runs.values(), "images_per_second"), 1),
        memory=_range(memory, 0),
        predicting=_range(predict, 1),
        devices="; ".join(devices),
        dirty=any(e.get("dirty") for e in environments),
        numbers={"minutes": _mean(train, SECONDS), "predicting": _mean(predict), "memory": _mean(memory)},
    )


def _owner(cell: TableCell) -> str:
    """Method in whose folder the run lies."""
    path = (cell.record.get("run") or "").split("/")
    return path[1] if len(path) > 1 else cell.method


def _values(records: Any, name: str) -> list[float]:
    return [record["costs"][name] for record in records if record["costs"].get(name) is not None]


def _mean(values: Sequence[float], unit: float = 1) -> float | None:
    """Mean in units, to four digits: enough for a chart, and few bytes."""
    return float(f"{fsum(values) / len(values) / unit:.4g}") if values else None


def _range(values: Sequence[float], decimals: int) -> str:
    """Lowest and highest, or the one that there is."""
    ends = dict.fromkeys(f"{value:.{decimals}f}" for value in (min(values), max(values))) if values else ()
    return "–".join(ends)
