"""Published boards as runs: a run per content with the files a reader opens, and nested in it a run per row.

A cell stays nested in its training: MLflow gives a run one parent, a cell may stand on several boards, and each new
publication would take it from the last. A board's cells bear its name and content in a tag instead.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from xdseg import __version__
from xdseg.canonical import fingerprint, short
from xdseg.errors import BadInput
from xdseg.records import read_json
from xdseg.stages.board import REPORTS
from xdseg.tracking.cards import plain
from xdseg.tracking.names import metric_names, tag_key
from xdseg.tracking.records import Recorded
from xdseg.tracking.wanted import BOARD, ROW, Wanted

TABLE = "leaderboard.json"
CELLS = "cells.csv"
TABLES = ("leaderboard.csv", CELLS)  # also as tables that MLflow shows and `mlflow.load_table` reads
PAGES = ("index.html", "leaderboard.md", "leaderboard.csv")
TEXTS = (*PAGES, TABLE, CELLS, "gains.csv", "class_gains.csv", "image_gains.csv", "costs.csv")
FIGURES = tuple(f"{name}.{suffix}" for name in ("heatmap", "gains", "ranks") for suffix in ("png", "svg"))
FILES = (*TEXTS, "ranks.csv", "leaderboard.tex", *FIGURES)
LINK = "board"  # a cell's tag `board.NAME` holds the content of the last board of that name that shows it
POINTS = "points"  # numbers of rows are those of the board: in points, not fractions
MINUTES = "train_minutes"


def wanted_board(name: str, suite: str, recorded: Recorded) -> list[Wanted]:
    """The board of that name as it was last published, if it was, and its rows. Raises BadInput for a broken file."""
    folder = REPORTS / name
    if not (folder / TABLE).exists():
        return []
    rows = read_json(folder / TABLE)
    if not all(isinstance(row, dict) for row in rows.values()):
        raise BadInput(f"{folder / TABLE}: expected a map of rows; run snakemake again")
    scores = _scores(folder / CELLS)
    versions = {record["benchmark_version"] for key, (_, record) in recorded.items() if _score(key) in scores}
    version = max(versions, key=_ordered, default=__version__)  # a board of several is the newest one's
    files = [folder / file for file in FILES if (folder / file).exists()]
    board = _board(name, suite, files, rows, version=version, scores=scores)
    gains, costs = _table(folder / "gains.csv"), _table(folder / "costs.csv")
    return [board, *(_row(board, row, said, gains=gains, costs=costs) for row, said in rows.items())]


def all_boards(recorded: Recorded) -> list[Wanted]:
    """Every published board whose cells are among the records, which tell its suite; each before its rows."""
    suites = {_score(key): key.split("/")[0] for key in recorded}
    found = []
    for table in sorted(REPORTS.glob(f"*/{TABLE}")):
        shown = {suites[score] for score in _scores(table.parent / CELLS) if score in suites}
        if len(shown) == 1:
            found += wanted_board(table.parent.name, shown.pop(), recorded)
    return found


def links(boards: Iterable[Wanted]) -> dict[str, dict[str, str]]:
    """Tags by short score fingerprint: on which boards its cell stands."""
    found: dict[str, dict[str, str]] = {}
    for board in boards:
        for score in board.shows:
            found.setdefault(score, {})[tag_key(LINK, board.tags["board"])] = short(board.key)
    return found


def _score(key: str) -> str:
    return key.rpartition("-")[2].removesuffix(".json")


def _ordered(version: str) -> tuple:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split(".")), version


def _table(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _scores(path: Path) -> frozenset[str]:
    """The short score fingerprints that a board shows."""
    return frozenset(row["score"] for row in _table(path) if row.get("score"))


def _board(
    name: str, suite: str, files: Sequence[Path], rows: Mapping[str, Any], *, version: str, scores: frozenset[str]
) -> Wanted:
    content = fingerprint([[path.name, path.read_bytes().hex()] for path in files])
    methods = metric_names("board", rows)
    means = {methods[row]: said.get("miou") for row, said in rows.items()}
    texts = tuple((f"tables/{path.stem}.json", _as_table(path)) for path in files if path.name in TABLES)
    return Wanted(
        kind=BOARD,
        key=content,
        suite=suite,
        version=version,
        name=f"board {name} {short(content)}",
        tags={"board": name, "mlflow.source.name": "xdseg publish"},
        metrics={key: float(value) for key, value in means.items() if value is not None},
        files=tuple(files),
        texts=texts,
        tables=tuple(path for path, _ in texts),
        shows=scores,
        note=_note(name, suite, short(content), rows=len(rows)),
    )


def _note(name: str, suite: str, content: str, *, rows: int) -> str:
    key = tag_key(LINK, name)
    return (
        f"Board **{plain(name)}** of suite {plain(suite)}, content {content}: {rows} rows, nested below; means in "
        f"points.\n\nTables, figures and the page are under Artifacts. Its cells: filter the runs by "
        f"``tags.`{key}` = '{content}'``; they are nested in their trainings. When the board is published anew, "
        "those it still shows move on to it; `cells.csv` says what stood here."
    )


def _as_table(path: Path) -> str:
    """A CSV as the JSON that `mlflow.log_table` writes; numbers as numbers."""
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    data = [[value if (number := _number(value)) is None else number for value in row] for row in rows]
    return json.dumps({"columns": header, "data": data}, ensure_ascii=False)


def _number(text: object) -> float | None:
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _row(
    board: Wanted,
    method: str,
    said: Mapping[str, Any],
    *,
    gains: Iterable[Mapping[str, str]],
    costs: Iterable[Mapping[str, str]],
) -> Wanted:
    """One row of a board: its means, its gains over each peer with their intervals, and what a training took."""
    points = {key: said.get(key) for key in said if key == "miou" or key.startswith("iou_")}
    gained: dict[str, object] = {}
    tags = {"board": board.tags["board"], "method": method, "mlflow.source.name": "xdseg publish"}
    tags |= {key: str(said[key]) for key in ("setting", "seeds", "origin") if said.get(key) is not None}
    for gain in gains:
        if gain.get("method") == method and (role := gain.get("role")):
            gained |= {role: gain.get("gain"), f"{role} low": gain.get("low"), f"{role} high": gain.get("high")}
            tags[f"xdseg.{role}"] = gain.get("against") or ""
    minutes = [n for cost in costs if cost.get("method") == method and (n := _number(cost.get(MINUTES))) is not None]
    spent = {MINUTES: sum(minutes) / len(minutes) if minutes else None}
    spent["parameters_millions"] = said.get("parameters_millions")
    return Wanted(
        kind=ROW,
        key=f"{board.key}/{method}",
        suite=board.suite,
        version=board.version,
        name=f"{method} · {board.tags['board']} {short(board.key)}",
        tags=tags,
        params={key: tags[key] for key in ("method", "setting") if key in tags},  # axes of comparisons
        metrics=_metrics(POINTS, points) | _metrics("gain", gained) | _metrics("resources", spent),
        parent=board.key,
    )


def _metrics(group: str, values: Mapping[str, object]) -> dict[str, float]:
    names = metric_names(group, values)
    return {names[key]: n for key, value in values.items() if (n := _number(value)) is not None}
