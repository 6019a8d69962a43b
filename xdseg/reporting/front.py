"""The front page of all boards: what each one shows, at a glance, with links to their pages.

It is made from what boards leave beside their pages, and from nothing else: leaderboard.json of each, and gains.csv
and costs.csv where they lie. Equal files give equal bytes.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xdseg.errors import BadInput
from xdseg.reporting.origin import ENTERED
from xdseg.reporting.page_templates import render
from xdseg.reporting.text import fixed

BEST = 3  # rows of each board that are shown, beside the best that has seen the target's labels
LABELLED = {"oracle", "finetune"}  # settings that see them
SCRIPTS = ("base", "tables", "front")


class FrontRow(BaseModel):
    """One method of a board, as leaderboard.json has it. Scores are percentages."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)

    setting: str
    origin: str
    miou: float | None
    pairs: dict[str, float | None]
    scored: str
    seeds: str = Field(pattern=r"^\d+(-\d+)?$")  # of each pair: `3`, or from `1-3`; a number in earlier boards


ROWS = TypeAdapter(dict[str, FrontRow])


@dataclass(frozen=True)
class Board:
    """One board, by the name of its folder."""

    name: str
    rows: Mapping[str, FrontRow]  # by method
    gains: Mapping[str, Mapping[str, str]]  # by method: its line of gains.csv
    minutes: Mapping[str, float]  # by method: mean minutes of training of a run
    devices: tuple[str, ...]

    @property
    def address(self) -> str:
        """Of its page, from the front page."""
        return f"{quote(self.name)}/index.html"

    @property
    def ranked(self) -> list[str]:
        """Methods with a mean, best first."""
        return sorted(
            (name for name, row in self.rows.items() if row.miou is not None),
            key=lambda name: (-(self.rows[name].miou or 0), name),
        )


def read_board(folder: Path) -> Board:
    """The board that lies in a folder. Raises BadInput naming the file that cannot be read."""
    path = folder / "leaderboard.json"
    try:
        rows = ROWS.validate_python(json.loads(path.read_text()), strict=False)
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: no leaderboard of a board ({reason}); build the board again, or delete it") from None
    if not rows:
        raise BadInput(f"{path}: no row in it; build the board again, or delete it")
    costs = _lines(folder / "costs.csv")
    devices = {line.get("device") or "" for line in costs} - {""}
    gains = {line.get("method") or "": line for line in _lines(folder / "gains.csv")}
    return Board(folder.name, rows, gains, _minutes(costs), tuple(sorted(devices)))


def _lines(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    try:
        return list(csv.DictReader(path.read_text().splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not readable ({error}); build the board again") from None


def _minutes(costs: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Mean over the runs of each method, which several cells share."""
    runs: dict[str, dict[str, float]] = {}
    for line in costs:
        try:
            runs.setdefault(line["method"], {})[line["run"]] = float(line["train_minutes"])
        except (KeyError, TypeError, ValueError):
            continue  # a board of another version, or a run without a time: the page shows none
    return {method: fsum(found.values()) / len(found) for method, found in runs.items()}


def front_html(boards: Sequence[Board]) -> str:
    """The page of boards, in the order of their names."""
    boards = sorted(boards, key=lambda board: board.name)
    methods = sorted({method for board in boards for method in board.rows})
    return render(
        "front.html.j2",
        scripts=SCRIPTS,
        title="Boards",
        boards=[_summary(board) for board in boards],
        methods=[{"name": method, "shown": [_value(board, method) for board in boards]} for method in methods],
    )


def _summary(board: Board) -> dict[str, Any]:
    ranked = board.ranked
    labelled = [name for name in ranked if board.rows[name].setting in LABELLED]
    shown = [name for name in ranked if name not in labelled][:BEST] + labelled[:1]
    pairs = next(iter(board.rows.values())).pairs
    seeds = sorted({int(end) for row in board.rows.values() for end in row.seeds.split("-")})
    return {
        "board": board,
        "facts": [
            _counted(str(len(board.rows)), "method"),
            _counted(str(len(pairs)), "pair"),
            _counted("–".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))), "seed"),
        ],
        "lacking": len(board.rows) - len(ranked),
        "lines": [_line(board, name) for name in shown],
        "devices": ", ".join(board.devices),
    }


def _counted(count: str, name: str) -> str:
    return f"{count} {name}{'' if count == '1' else 's'}"


def _line(board: Board, method: str) -> dict[str, Any]:
    row, gain = board.rows[method], board.gains.get(method, {})
    return {
        "method": method,
        "row": row,
        "entered": row.origin.partition(" ")[0] == ENTERED,  # more may be said after it
        "miou": fixed(row.miou),
        "gain": _signed(gain.get("gain", "")),
        "against": gain.get("against", ""),
        "interval": " to ".join(map(_signed, (gain["low"], gain["high"]))) if gain.get("low") else "",
        "minutes": fixed(board.minutes.get(method), 1),
    }


def _signed(text: str) -> str:
    """Points of gains.csv as pages write them."""
    if not text:
        return ""
    return text.replace("-", "−") if text.startswith("-") else f"+{text}" if float(text) else text


def _value(board: Board, method: str) -> str:
    """Mean of a method on a board, `no mean` if it lacks a pair there, empty if it is no row of it."""
    row = board.rows.get(method)
    return "" if row is None else fixed(row.miou) or "no mean"
