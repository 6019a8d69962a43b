"""One look at the grid in force: counts of cells and the runs that are not done, for machines and as lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdseg.inspection.runs import FAILED, INTERRUPTED, PREDICT, RUNNING, TRAIN, open_runs, state_of
from xdseg.text import harmless
from xdseg.training.progress import duration
from xdseg.workflow import Plan

DONE, MISSING = "done", "missing"
NEXT = {TRAIN: "to be trained", PREDICT: "trained, to be predicted"}
SCORED_NEXT = "predicted, to be scored"


def look(plan: Plan, *, now: float) -> dict[str, Any]:
    """The grid's name, its cells by state and its runs that are not done, as JSON holds them.

    A cell is done if its record exists; it runs or has failed with its run; all others are missing.
    """
    records = zip(plan.cells, plan.records, strict=True)
    done = {cell.record_name for cell, record in records if Path(record).exists()}
    states = [state_of(plan, run, cells, now=now) for run, cells in open_runs(plan, done)]
    counts = {state: sum(run.cells for run in states if run.state == state) for state in (RUNNING, FAILED)}
    counts = {DONE: len(done)} | counts
    grid = plan.params.grid
    return {
        "board": grid.board or grid.suite,
        "suite": grid.suite,
        "protocol": grid.protocol,
        "cells": counts | {MISSING: len(plan.cells) - sum(counts.values())},
        "runs": [run.known() for run in states],
    }


def lines(seen: dict[str, Any]) -> Iterator[str]:
    """The same as text: a head, the counts, a line per run."""
    yield f"board {seen['board']}: suite {seen['suite']}, protocol {seen['protocol']}"
    counts = seen["cells"]
    total = sum(counts.values())
    yield f"{total} cell{'s' * (total != 1)}: {', '.join(f'{count} {state}' for state, count in counts.items())}"
    width = max((len(run["run"]) for run in seen["runs"]), default=0)
    for run in seen["runs"]:
        yield f"{run['state']:<{len(INTERRUPTED)}}  {run['run']:<{width}}  {_said(run)}"


def _said(run: dict[str, Any]) -> str:
    if run["state"] == RUNNING:
        return ", ".join(_progress(run))
    if run["state"] == FAILED:
        return f"{harmless(run['error'])} [{run['log']}]"
    if run["state"] == INTERRUPTED:
        return _interrupted(run)
    return NEXT.get(run["stage"], SCORED_NEXT) + (f", after {run['after']}" if "after" in run else "")


def _progress(run: dict[str, Any]) -> Iterator[str]:
    """What is known of a process at work, in the order of a reader's questions."""
    if run["stage"] == PREDICT:
        yield "predicting"
    elif "step" in run:
        yield f"step {run['step']} of {run['steps']}"
    if "eta_seconds" in run:
        yield f"ETA {duration(run['eta_seconds'])}"
        yield f"{run['images_per_second']:.1f} images/s"
    if "point_seconds" in run:
        yield f"last point {duration(run['point_seconds'])} ago"
    elif run["stage"] == TRAIN:
        yield "no point yet"
    yield run["process"]


def _interrupted(run: dict[str, Any]) -> str:
    if "saved" in run:
        return f"resumes after step {run['saved']} of {run['steps']}"
    reached = f"stopped after step {run['step']} of {run['steps']}" if "step" in run else "stopped"
    return f"{reached}, no readable state: starts anew"
