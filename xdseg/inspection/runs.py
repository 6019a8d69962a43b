"""In which state a run is that is not done: running, interrupted, failed or waiting, and what is known of it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xdseg.cells import RESULTS, Cell, Run
from xdseg.curve import CURVE
from xdseg.inspection.holding import held_since, holder
from xdseg.inspection.traces import STATES, last_error, last_points, saved_step
from xdseg.records import PRODUCED
from xdseg.settings.training import Training
from xdseg.stages.train import RECEIPT
from xdseg.workflow import Plan

RUNNING, INTERRUPTED, FAILED, WAITING = "running", "interrupted", "failed", "waiting"
TRAIN, PREDICT, SCORE = "train", "predict", "score"
PLACES = 1  # decimals of rates and seconds


@dataclass(frozen=True)
class RunState:
    """A run that is not done; what does not apply is None."""

    run: str  # folder below results/
    state: str
    stage: str  # that it is at, or that comes next
    cells: int  # that are in this state with it
    step: int | None = None  # last one in the curve
    steps: int | None = None  # of the whole training
    saved: int | None = None  # step of the state to resume from
    images_per_second: float | None = None
    eta_seconds: float | None = None  # of the training
    point_seconds: float | None = None  # since the last point of the curve
    process: str | None = None  # that holds the run
    error: str | None = None
    log: str | None = None  # that the error stands in
    after: str | None = None  # run that must be trained before

    def known(self) -> dict[str, Any]:
        """What applies, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def open_runs(plan: Plan, done: set[str]) -> list[tuple[Run, list[Cell]]]:
    """Runs with cells that are not done, or from which such a run still has to start; each with those cells.

    `done` holds names of records.
    """
    missing = {folder: [c for c in cells if c.record_name not in done] for folder, cells in plan.cells_of_run.items()}
    started: set[str] = set()
    found = []
    for folder, run in reversed(plan.runs.items()):  # children first
        trained = (run.folder / RECEIPT).exists()
        if missing.get(folder) or (folder in started and not trained):
            found.append((run, missing.get(folder, [])))
            if run.parent and not trained:
                started.add(str(run.parent.folder))
    return found[::-1]


def state_of(plan: Plan, run: Run, cells: list[Cell], *, now: float) -> RunState:
    """The state of a run whose `cells` have no record; `now` in seconds since 1970."""
    trained = (run.folder / RECEIPT).exists()
    if process := holder(run.folder):
        return _running(run, len(cells), PREDICT if trained else TRAIN, process, now)
    if not trained:
        return _untrained(plan, run, len(cells))
    receipt = Path(plan.predictions[str(run.folder)])
    if not receipt.exists():
        error = _failure([receipt.with_suffix(".log")], since=held_since(run.folder))
        return _stopped(run, PREDICT, len(cells), error)
    failures = [error for cell in cells if (error := _failure(_logs_of(cell)))]
    return _stopped(run, SCORE, len(failures) or len(cells), failures[0] if failures else None)


def _running(run: Run, cells: int, stage: str, process: str, now: float) -> RunState:
    state = RunState(_name(run), RUNNING, stage, cells, process=process)
    points = last_points(run.folder / CURVE) if stage == TRAIN else []
    if not points:
        return state
    recipe: Training = run.context.recipe(run.definition, "training", Training)
    known: dict[str, Any] = {"step": points[-1]["step"], "steps": recipe.steps}
    since = held_since(run.folder)
    own = [point for point in points if point.get("time", 0) >= since]  # the others are of a process that has ended
    if own:
        passed = max(0.0, now - own[-1]["time"])
        known["point_seconds"] = round(passed, PLACES)
        if rate := _rate(own, recipe.batch):
            left = (recipe.steps - own[-1]["step"]) * recipe.batch / rate
            known |= {"images_per_second": round(rate, PLACES), "eta_seconds": round(max(0.0, left - passed), PLACES)}
    return RunState(**(state.known() | known))


def _rate(points: list[dict[str, Any]], batch: int) -> float | None:
    """Images per second: what the last point says, or, where that is rounded to nothing, between the last two."""
    if said := points[-1].get("images_per_second"):
        return said
    first, last = points[0], points[-1]
    seconds = last["time"] - first["time"]
    return (last["step"] - first["step"]) * batch / seconds if seconds > 0 else None


def _untrained(plan: Plan, run: Run, cells: int) -> RunState:
    inputs = [Path(path) for path in plan.training_inputs(str(run.folder))]
    logs = [path.with_suffix(".log") for path in inputs if path.name != RECEIPT and not path.exists()]
    error = _failure([run.folder / "train.log"], since=held_since(run.folder)) or _failure(logs)
    states = [path for path in (run.folder / name for name in STATES) if path.exists()]
    saved = next((step for step in map(saved_step, states) if step is not None), None)
    points = last_points(run.folder / CURVE)
    traces = {"step": points[-1]["step"] if points else None, "saved": saved}
    steps = run.context.recipe(run.definition, "training", Training).steps
    if error:
        return _stopped(run, TRAIN, cells, error, **traces, steps=steps)
    if points or states:
        return RunState(_name(run), INTERRUPTED, TRAIN, cells, **traces, steps=steps)
    parent = run.parent
    after = _name(parent) if parent and not (parent.folder / RECEIPT).exists() else None
    return RunState(_name(run), WAITING, TRAIN, cells, after=after)


def _stopped(run: Run, stage: str, cells: int, error: tuple[str, str] | None, **traces: int | None) -> RunState:
    if error is None:
        return RunState(_name(run), WAITING, stage, cells, **traces)
    return RunState(_name(run), FAILED, stage, cells, error=error[0], log=error[1], **traces)


def _failure(logs: list[Path], since: float = 0.0) -> tuple[str, str] | None:
    """Error and log of the first log that ends in one."""
    return next(((error, str(log)) for log in logs if (error := last_error(log, since=since))), None)


def _logs_of(cell: Cell) -> list[Path]:
    """Where scoring a cell and recording it say what went wrong."""
    return [cell.score_path.with_suffix(".log"), (PRODUCED / cell.record_name).with_suffix(".log")]


def _name(run: Run) -> str:
    return run.folder.relative_to(RESULTS).as_posix()
