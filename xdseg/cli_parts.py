"""What the commands share: a parser of their own, and the settings in force."""

import argparse
from collections.abc import Callable

from xdseg.params import Params, load


def command(commands, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    """The parser of a new command that calls `run`."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=run)
    return parser


def params_of(options: argparse.Namespace) -> Params:
    """Settings under the overlays of the command line."""
    return load(options.configfile)


def context_of(options: argparse.Namespace):
    """Settings and lock of the grid's suite."""
    from xdseg.cells import Context

    return Context.of(params_of(options))
