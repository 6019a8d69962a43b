"""`xdseg status`: what of the grid is done and what becomes of the rest, once or again and again."""

import json
import sys
import time

from xdseg.errors import BadInput
from xdseg.inspection.look import lines, look
from xdseg.params import Params
from xdseg.process import now
from xdseg.workflow import Plan

CLEAR = "\033[H\033[2J"  # of a terminal: to the top, everything below away


def status(params: Params, *, machine: bool, every: float | None = None) -> None:
    """Print a look at the grid; with `every`, a new one after so many seconds, until it is interrupted.

    On a terminal each look replaces the one before; elsewhere each begins with its time. JSON of several looks is a
    line each. Raises BadInput for settings that cannot be used.
    """
    if every is not None and not every > 0:
        raise BadInput(f"--watch {every:g}: seconds between two looks, more than 0")
    if every is None:
        seen = look(Plan(params), now=time.time())
        print(json.dumps(seen, indent=1) if machine else "\n".join(lines(seen)))
        return
    while True:
        _show(params, machine=machine)
        time.sleep(every)


def _show(params: Params, *, machine: bool) -> None:
    seen = look(Plan(params), now=time.time())
    if machine:
        print(json.dumps({"time": now()} | seen), flush=True)
        return
    head = f"{CLEAR}{now()}" if sys.stdout.isatty() else now()
    print("\n".join([head, *lines(seen)]), end="\n" if sys.stdout.isatty() else "\n\n", flush=True)
