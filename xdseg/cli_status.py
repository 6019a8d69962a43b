"""Commands about results/: what of the grid is done, and what no grid needs any more."""

import argparse
import sys

from xdseg.cli_parts import command, params_of
from xdseg.errors import BadInput


def _add_status(commands) -> None:
    text = "what of the grid is done, runs, failed or is missing, read from files while the workflow runs"
    parser = command(commands, "status", _status, text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="look again after so long, until Ctrl-C")


def _status(options: argparse.Namespace) -> None:
    try:
        from xdseg.stages.status import status

        status(params_of(options), machine=options.json, every=options.watch)
    except KeyboardInterrupt:
        if options.watch is None:  # else it is how a reader ends it
            raise
        if sys.stdout.isatty():
            print()


def _add_clean(commands) -> None:
    text = "list what in results/ no grid needs: none in force, of a preset or started before; delete it with --yes"
    parser = command(commands, "clean", _clean, text)
    parser.add_argument("--stale", action="store_true", help="runs, predictions and caches of other fingerprints")
    parser.add_argument("--all", action="store_true", help="also of grids started before that are no preset's")
    parser.add_argument("--yes", action="store_true", help="delete what is listed")


def _clean(options: argparse.Namespace) -> None:
    from xdseg.stages.clean import clean

    if not options.stale:
        raise BadInput("clean: say what; xdseg clean --stale lists what no grid needs, and deletes nothing")
    clean(params_of(options), delete=options.yes, everything=options.all)


COMMANDS = (_add_status, _add_clean)
