"""`xdseg track`: records, their trainings and the published boards, shown in MLflow."""

from collections import Counter
from collections.abc import Iterable

from xdseg.errors import BadInput
from xdseg.params import Params
from xdseg.tracking.boards import all_boards, wanted_board
from xdseg.tracking.follow import Follower, follow
from xdseg.tracking.mirror import NEW, REPLACED, SAME, UPDATED, Mirror
from xdseg.tracking.records import Recorded, all_records, grid_records, load_all, wanted_runs
from xdseg.tracking.store import open_store, shown, tracking_uri, writer
from xdseg.tracking.views import TABLE_OF_CELLS
from xdseg.tracking.wanted import BOARD, CELL, TRAINING, Wanted
from xdseg.workflow import Plan

PLURAL = {TRAINING: "trainings", CELL: "cells", BOARD: "boards"}


def track(
    params: Params,
    *,
    everything: bool = False,
    following: bool = False,
    every: float = 5,
    until_idle: float | None = None,
    pages: str | None = None,
) -> None:
    """Mirror the grid's records, or every suite's, and go on doing so if `following`.

    All records are read before anything is written. `pages` is the address of MLflow's pages, below which those of the
    suites are printed. Raises BadInput: nothing to show, a broken record, no store, or another writer at work.
    """
    plan = Plan(params)
    recorded = load_all(all_records() if everything else grid_records(plan))
    if not recorded and not following:
        where = "in records/ or results/records/" if everything else f"of the grid on {plan.context.suite}"
        raise BadInput(f"track: no record {where}; run snakemake first" + ("" if everything else ", or try --all"))
    wanted = wanted_runs(recorded) + _boards(plan, recorded, everything=everything)
    uri = tracking_uri()
    with writer(uri):
        mirror = Mirror(open_store(uri), uri)
        _say(_put(mirror, wanted, uri))
        for suite, experiment in sorted(mirror.experiments.items()) if pages else ():
            _say(f"{suite}: {pages.rstrip('/')}/#/experiments/{experiment}/runs?{TABLE_OF_CELLS}")
        if following:
            follower = Follower(mirror, runs=plan.runs, recorded=recorded, say=_say)
            _say(f"following results/ every {every:g} s; stop with Ctrl-C")
            follow(
                follower,
                every=every,
                until_idle=until_idle,
                after=lambda: [mirror.put(one) for one in _boards(plan, follower.recorded, everything=everything)],
            )
            _say("stopped")


def _boards(plan: Plan, recorded: Recorded, *, everything: bool) -> list[Wanted]:
    if everything:
        return all_boards(recorded)
    suite = plan.context.suite
    published = wanted_board(plan.params.grid.board or suite, suite)
    return [published] if published else []


def _put(mirror: Mirror, wanted: Iterable[Wanted], uri: str) -> str:
    """Put everything; what was done, in words."""
    kinds, done = Counter(), Counter()
    for one in wanted:
        kinds[one.kind] += 1
        done[mirror.put(one)] += 1
    what = ", ".join(f"{kinds[kind]} {PLURAL[kind]}" for kind in PLURAL)
    return f"{shown(uri)}: {what}; " + ", ".join(f"{done[how]} {how}" for how in (NEW, UPDATED, REPLACED, SAME))


def _say(line: str) -> None:
    print(line, flush=True)
