"""Published boards as runs: a run per content, with the files a reader opens."""

import csv
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.records import read_json
from xdseg.stages.board import REPORTS
from xdseg.tracking.records import Recorded
from xdseg.tracking.wanted import Wanted, board

TABLE = "leaderboard.json"
CELLS = "cells.csv"
TEXTS = ("index.html", "leaderboard.md", "leaderboard.csv", TABLE, CELLS, "gains.csv", "class_gains.csv", "costs.csv")
FIGURES = tuple(f"{name}.{suffix}" for name in ("heatmap", "gains", "ranks") for suffix in ("png", "svg"))
FILES = (*TEXTS, "ranks.csv", "leaderboard.tex", *FIGURES)


def wanted_board(name: str, suite: str) -> Wanted | None:
    """The board of that name as it was last published, if it was. Raises BadInput naming a broken file."""
    folder = REPORTS / name
    if not (folder / TABLE).exists():
        return None
    rows = read_json(folder / TABLE)
    if not all(isinstance(row, dict) for row in rows.values()):
        raise BadInput(f"{folder / TABLE}: expected a map of rows; run snakemake again")
    return board(name, suite, [folder / file for file in FILES if (folder / file).exists()], rows)


def all_boards(recorded: Recorded) -> list[Wanted]:
    """Every published board whose cells are among the records, which tell its suite."""
    suites = {key.rpartition("-")[2].removesuffix(".json"): key.split("/")[0] for key in recorded}
    found = []
    for table in sorted(REPORTS.glob(f"*/{TABLE}")):
        shown = {suites[score] for score in _scores(table.parent / CELLS) if score in suites}
        if len(shown) == 1 and (wanted := wanted_board(table.parent.name, shown.pop())):
            found.append(wanted)
    return found


def _scores(path: Path) -> set[str]:
    """The short score fingerprints that a board shows."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row.get("score") or "" for row in csv.DictReader(file)}
