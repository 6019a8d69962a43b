"""`xdseg track`: records, their trainings and the published boards, shown in MLflow."""

from collections import Counter
from collections.abc import Callable
from functools import partial

from xdseg.errors import BadInput
from xdseg.params import Params
from xdseg.tracking.boards import all_boards, links, wanted_board
from xdseg.tracking.follow import Follower, follow, patiently
from xdseg.tracking.inputs import Inputs
from xdseg.tracking.mirror import NEW, REPLACED, SAME, UPDATED, Mirror
from xdseg.tracking.records import Recorded, all_records, grid_records, load_all, wanted_runs
from xdseg.tracking.store import is_server, open_store, shown, tracking_uri, writer
from xdseg.tracking.views import TABLE_OF_CELLS
from xdseg.tracking.wanted import BOARD, CELL, ROW, TRAINING, Wanted
from xdseg.workflow import Plan

PLURAL = {TRAINING: "trainings", CELL: "cells", BOARD: "boards", ROW: "rows"}


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
    suites are printed. A follower waits for a server that is away, unless `until_idle` ends it. Raises BadInput:
    nothing to show, a broken record, no store, or another writer at work.
    """
    plan = Plan(params)
    recorded = load_all(all_records() if everything else grid_records(plan))
    if not recorded and not following:
        where = "in records/ or results/records/" if everything else f"of the grid on {plan.context.suite}"
        raise BadInput(f"track: no record {where}; run snakemake first" + ("" if everything else ", or try --all"))
    inputs, boards_of = Inputs(params), partial(_boards, plan, everything=everything)
    wanted, boards, uri = wanted_runs(recorded, inputs), boards_of(recorded), tracking_uri()
    with writer(uri):
        mirror_all = partial(_mirror_all, uri, wanted, boards)
        waits = following and until_idle is None and is_server(uri)
        mirror, done = patiently(mirror_all, every=every, say=_say) if waits else mirror_all()
        _say(done)
        for name, experiment in sorted(mirror.experiments.items()) if pages else ():
            _say(f"{name.partition('/')[2]}: {pages.rstrip('/')}/#/experiments/{experiment}/runs?{TABLE_OF_CELLS}")
        if following:
            follower = Follower(mirror, runs=plan.runs, recorded=recorded, say=_say, inputs=inputs)
            _say(f"following results/ every {every:g} s; stop with Ctrl-C")
            after = partial(_show_boards, follower, boards_of)
            follow(follower, every=every, until_idle=until_idle, after=after)
            _say("stopped")


def _mirror_all(uri: str, wanted: list[Wanted], boards: list[Wanted]) -> tuple[Mirror, str]:
    """Put everything; the mirror, and what was done in words. Raises StoreAway."""
    mirror = Mirror(open_store(uri), uri, links=links(boards))
    kinds, done = Counter(), Counter()
    for one in [*wanted, *boards]:
        kinds[one.kind] += 1
        done[mirror.put(one)] += 1
    mirror.link()
    what = ", ".join(f"{kinds[kind]} {PLURAL[kind]}" for kind in PLURAL)
    return mirror, f"{shown(uri)}: {what}; " + ", ".join(f"{done[how]} {how}" for how in (NEW, UPDATED, REPLACED, SAME))


def _boards(plan: Plan, recorded: Recorded, *, everything: bool) -> list[Wanted]:
    if everything:
        return all_boards(recorded)
    suite = plan.context.suite
    return wanted_board(plan.params.grid.board or suite, suite, recorded)


def _show_boards(follower: Follower, boards_of: Callable[[Recorded], list[Wanted]]) -> None:
    boards = boards_of(follower.recorded)
    follower.mirror.links |= links(boards)
    for one in boards:
        follower.mirror.put(one)
    follower.mirror.link()


def _say(line: str) -> None:
    print(line, flush=True)
