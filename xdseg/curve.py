"""A run's learning curve: a file of points that the run appends to, and the columns that a record keeps of it."""

import json
import math
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.files import write_text

CURVE = "curve.jsonl"  # in the run's folder
POINTS = 100  # that a record keeps at most


def cut_curve(folder: Path, step: int) -> None:
    """Keep the points up to `step`: what comes after will be trained again."""
    path, kept = folder / CURVE, []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:  # the last line of a process killed while it wrote
            break
    write_text(path, "".join(kept))


def read_curve(path: Path) -> dict[str, Any] | None:
    """The curve by column, evenly thinned to `POINTS`, its last point among them; None where no file is.

    `step` counts from 1; `time` is in seconds since 1970, absent from curves made before it was kept; `lr` is of the
    segmenter's head; `losses` holds a column per term, each value that of one step, and `measures`, if there are any,
    likewise what adaptations show besides. Raises BadInput naming the file.
    """
    if not path.exists():
        return None
    try:
        points = [json.loads(line) for line in path.read_text().splitlines()]
        points = points[:: -math.ceil(len(points) / POINTS)][::-1]
        columns = {key: [point[key] for point in points] for key in ("step", "time", "lr") if key in points[-1]}
        losses = {name: [point["losses"][name] for point in points] for name in points[-1]["losses"]}
        measures = points[-1].get("measures") or {}
        further = {name: [point["measures"][name] for point in points] for name in measures}
        return columns | {"losses": losses} | ({"measures": further} if further else {})
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(f"{path}: no learning curve ({error!r}); delete the run's folder and train again") from None
