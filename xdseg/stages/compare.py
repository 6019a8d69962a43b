"""`xdseg compare A B`: two boards, presets or commits, method by method.

A and B are each, in this order: a folder with cells.csv, the name of a board in reports/, a preset (YAML) whose board
is in reports/, or a commit: `REV:board`, or `REV` for the board that the other side or params.yaml names.
"""

import json
import subprocess
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.params import merge, read_yaml
from xdseg.reporting.compare import Board, Line, as_json, compare, read_board
from xdseg.stages.about import SETTINGS
from xdseg.stages.board import REPORTS

CELLS = "cells.csv"
UNBOUNDED = 10_000  # columns
YAML = {".yaml", ".yml"}


def compare_boards(a: str, b: str, *, by_pair: bool, machine: bool) -> None:
    """Print the comparison as a table, or as JSON. Raises BadInput where a side is no board."""
    other = {side: _named(side) for side in (a, b)}
    boards = [_open(side, otherwise=other[beside]) for side, beside in ((a, b), (b, a))]
    if set(boards[0].pairs).isdisjoint(boards[1].pairs):
        raise BadInput(f"compare: {a} and {b} have no pair in common; compare boards of one suite")
    methods = compare(*boards)
    if machine:
        print(json.dumps(as_json(*boards, methods, compare(*boards, by_pair=True)), indent=1))
        return
    _print(*boards, compare(*boards, by_pair=True) if by_pair else methods, by_pair=by_pair)


def _named(side: str) -> str | None:
    """The board that a side names by itself, if it does."""
    if Path(side).suffix in YAML:
        return _board_of(Path(side))
    if (REPORTS / side / CELLS).exists():
        return side
    return side.partition(":")[2] or None


def _board_of(preset: Path) -> str:
    grid = merge(read_yaml(SETTINGS), read_yaml(preset)).get("grid") or {}
    name = (grid.get("board") or grid.get("suite")) if isinstance(grid, dict) else None
    if not isinstance(name, str):
        raise BadInput(f"{preset}: names no suite; give it grid.suite")
    return name


def _open(side: str, *, otherwise: str | None) -> Board:
    path = Path(side)
    if path.suffix in YAML:
        name = _board_of(path)
        return _read(REPORTS / name / CELLS, side, f"run `snakemake --configfile {side}` first")
    for folder in (path, REPORTS / side):
        if (folder / CELLS).exists():
            return _read(folder / CELLS, side, "build the board again")
    revision, _, board = side.partition(":")
    if commit := _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"):
        board = board or otherwise or _board_of(SETTINGS)
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


def _print(a: Board, b: Board, lines: list[Line], *, by_pair: bool) -> None:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    console = Console()
    for letter, board in (("A", a), ("B", b)):
        console.print(f"{letter}  {board.name}  ({board.place})", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    if by_pair:
        table.add_column("pair", no_wrap=True)
    for name in ("A", "B", "B - A", "better", "same", "changed", "only A", "only B"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*_row(line, by_pair=by_pair))
    needed = Measurement.get(console, console.options.update(width=UNBOUNDED), table).maximum
    Console(width=max(needed, console.width)).print(table)  # a number that is cut is no number
    said = "mIoU in %; B - A over the cells that both have; same, changed: cells by fingerprint"
    console.print(said, style="dim", highlight=False, soft_wrap=True)
    if unequal := sum(line.unequal for line in lines):
        console.print(f"{unequal} cells have one fingerprint and two scores: made on other machines?", style="bold red")


def _row(line: Line, *, by_pair: bool) -> list[str]:
    difference, paired = line.difference, len(line.differences)
    colour = {True: "green", False: "red"}.get(difference > 0) if difference else None
    signed = "–" if difference is None else f"{difference:+.2f}" if difference else "0.00"
    counts = (line.unchanged, line.changed, line.only_a, line.only_b)
    return [
        line.method,
        *(["->".join(line.pair or ())] if by_pair else []),
        *("–" if value is None else f"{value:.2f}" for value in (line.a, line.b)),
        f"[{colour}]{signed}[/]" if colour else signed,
        f"{line.better}/{paired}" if paired else "–",
        *(str(count) if count else "" for count in counts),
    ]
