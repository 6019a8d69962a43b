"""Learning curves as points in time, from a record's columns or from the file that a run appends to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.tracking.names import metric_names

MILLISECONDS = 1000
LOSS, RATE = "loss", "lr"


@dataclass(frozen=True)
class Point:
    """What a run said after a step: `time` in milliseconds since 1970, values by MLflow's metric names."""

    step: int
    time: int
    values: dict[str, float]


def recorded_points(record: dict[str, Any], path: Path, *, start: int | None) -> tuple[list[Point], str]:
    """The curve that a record keeps, and where its times come from: `recorded`, `estimated` or `no curve`.

    Records of before times were kept have their points spread evenly from `start` (ms) over the training's seconds.
    Raises BadInput naming the record.
    """
    curve = record.get("curve")
    if not curve:
        return [], "no curve"
    try:
        steps, losses = curve["step"], curve["losses"]
        times = curve.get("time") or _spread(steps, record["costs"], start)
        rows = zip(*losses.values(), strict=True)
        rates = curve.get("lr") or [None] * len(steps)
        points = [
            _point(step, time, dict(zip(losses, row, strict=True)), rate)
            for step, time, row, rate in zip(steps, times, rows, rates, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: curve: not columns of equal length ({error!r}); delete it and run again") from None
    return points, "recorded" if curve.get("time") else "estimated"


def _spread(steps: Sequence[int], costs: dict[str, Any], start: int | None) -> list[float]:
    per_step = costs["train_seconds"] / costs["steps"]
    return [(start or 0) / MILLISECONDS + step * per_step for step in steps]


def _point(step: int, seconds: float, losses: dict[str, float], rate: float | None) -> Point:
    names = metric_names(LOSS, losses)
    # the sum in any order of the terms is the same number, so a record and the run's own file agree bit for bit
    values = {LOSS: fsum(losses.values())} | {names[term]: float(value) for term, value in losses.items()}
    if rate is not None:
        values[RATE] = float(rate)
    return Point(int(step), round(seconds * MILLISECONDS), values)


def read_points(
    path: Path, *, costs: dict[str, Any] | None = None, start: int | None = None
) -> tuple[list[Point], str]:
    """The points of a growing curve file so far, and where their times come from, `recorded` or `estimated`.

    A line still being written is left for the next reading. Points of before times were kept are spread over `costs`
    from `start` (ms), or take the file's time. Raises BadInput for a whole line that is no point.
    """
    points: dict[int, Point] = {}
    try:
        with path.open() as file:
            written = file.read()
            age = path.stat().st_mtime
        said = [json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines()]
        timed = all("time" in point for point in said)
        steps = [point["step"] for point in said]
        times = _spread(steps, costs, start) if costs and not timed else [point.get("time", age) for point in said]
        for point, time in zip(said, times, strict=True):
            points[point["step"]] = _point(point["step"], time, point["losses"], point.get("lr"))
    except FileNotFoundError:
        return [], "no curve"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: no learning curve ({error!r}); delete the run's folder and train again") from None
    return list(points.values()), "recorded" if timed else "estimated"
