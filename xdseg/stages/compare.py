"""`xdseg compare A B`: what changed between two boards, presets or commits, by how much, and whether it is noise.

A and B are each, in this order: a folder with cells.csv, the name of a board in reports/, a preset (YAML) whose board
is in reports/, or a commit: `REV:board`, or `REV` for the board that the other side or params.yaml names.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.reporting.compare import Board, compare, of_methods, read_board, total
from xdseg.reporting.verdicts import as_json, judge
from xdseg.stages.about import SETTINGS
from xdseg.stages.board import REPORTS
from xdseg.stages.boards import YAML, board_of
from xdseg.stages.compare_table import print_table

CELLS = "cells.csv"


def compare_boards(a: str, b: str | None, *, methods: Sequence[str] | None, by_pair: bool, machine: bool) -> None:
    """Print the comparison as a table, or as JSON. Raises BadInput where a side is no board.

    `methods` are one of A and one of B, which are then compared with each other; B is A where it is left out.
    """
    if b is None and not methods:
        raise BadInput("compare: name a second board, or two methods of this one: --methods OF_A OF_B")
    b = a if b is None else b
    other = {side: _named(side) for side in (a, b)}
    boards = [_open(side, otherwise=other[beside]) for side, beside in ((a, b), (b, a))]
    if set(boards[0].pairs).isdisjoint(boards[1].pairs):
        raise BadInput(f"compare: {a} and {b} have no pair in common; compare boards of one suite")
    if methods:
        boards = of_methods(*boards, *methods)
    *lines, whole = judge([*compare(*boards), total(*boards)])
    if len(lines) == 1:  # the total says the same, and would count as a second test
        lines, whole = judge(compare(*boards)), None
    if machine:
        pairs = judge(compare(*boards, by_pair=True))
        print(json.dumps(as_json(*boards, methods=lines, whole=whole, pairs=pairs), indent=1))
    elif by_pair:
        print_table(*boards, judge(compare(*boards, by_pair=True)), by_pair=True)
    else:
        print_table(*boards, [*lines, *([whole] if whole else [])])


def _named(side: str) -> str | None:
    """The board that a side names by itself, if it does."""
    if Path(side).suffix in YAML:
        return board_of(Path(side))
    if (REPORTS / side / CELLS).exists():
        return side
    return side.partition(":")[2] or None


def _open(side: str, *, otherwise: str | None) -> Board:
    path = Path(side)
    if path.suffix in YAML:
        name = board_of(path)
        return _read(REPORTS / name / CELLS, side, f"run `snakemake --configfile {side}` first")
    for folder in (path, REPORTS / side):
        if (folder / CELLS).exists():
            return _read(folder / CELLS, side, "build the board again")
    revision, _, board = side.partition(":")
    if commit := _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"):
        board = board or otherwise or board_of(SETTINGS)
        file = (REPORTS / board / CELLS).as_posix()
        text = _git("show", f"{commit.strip()}:./{file}")
        if text is None:
            raise BadInput(
                f"{side}: commit {commit[:8]} has no {file}; name a board that it has, as in {revision}:BOARD"
            )
        return read_board(text, name=side, place=f"{commit[:8]}:{file}")
    boards = sorted(path.parent.name for path in REPORTS.glob(f"*/{CELLS}"))
    raise BadInput(f"{side}: no board, preset or commit; boards here are {', '.join(boards) or 'none'}")


def _read(path: Path, name: str, mend: str) -> Board:
    try:
        return read_board(path.read_text(), name=name, place=str(path))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; {mend}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not readable ({error}); build the board again") from None


def _git(*arguments: str) -> str | None:
    """What git prints, or None where it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
