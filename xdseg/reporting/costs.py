"""What the cells cost and where they ran: apart from the scores, since it changes with every machine."""

from collections.abc import Sequence
from typing import Any

from xdseg.canonical import short
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.text import csv_text, fixed

SECONDS = 60  # in a minute
IDENTITY = ("method", "source", "target", "seed", "run")
COSTS = ("train_minutes", "predict_minutes", "train_images_per_second", "peak_memory_mb")
ENVIRONMENT = ("device", "precision", "commit", "dirty", "started")


def costs_csv(cells: Sequence[TableCell]) -> str:
    """One line per cell that was trained here or elsewhere. Cells of one `run` share its training: count it once."""
    trained = [cell for cell in cells if cell.record and cell.record["costs"]]
    return csv_text((*IDENTITY, *COSTS, *ENVIRONMENT), map(_line, trained))


def _line(cell: TableCell) -> list[object]:
    costs, environment = cell.record["costs"], cell.record["environment"] or {}
    run = short(cell.record["fingerprints"]["train"] or "")
    numbers = [
        fixed(_minutes(costs.get("train_seconds"))),
        fixed(_minutes(costs.get("predict_seconds"))),
        fixed(costs.get("images_per_second")),
        fixed(costs.get("peak_memory_mb"), 0),
    ]
    return [*cell.key, run, *numbers, *(_plain(environment.get(name)) for name in ENVIRONMENT)]


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / SECONDS


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
