"""Two boards beside each other: what differs between them, by method and by pair, over what both have.

A board is read from its cells.csv, whose scores are percentages with two decimals and whose fingerprints are the
first eight characters of the full ones.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO

from xdseg.errors import BadInput, suggest
from xdseg.reporting.differences import differences, estimated, together
from xdseg.reporting.leaderboard import mean
from xdseg.reporting.origin import is_entered
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.text import ARROW

TOTAL = "all methods"
COUNTS = ("unpaired", "unchanged", "changed", "unequal", "only_a", "only_b")  # of a line
COLUMNS = ("method", "source", "target", "seed", "status", "miou", "score", "origin")  # that are read
Key = tuple[str, str, str, int]  # method, source, target, seed


@dataclass(frozen=True)
class Score:
    """One line of cells.csv. `miou` is in percent; None where the cell is missing or nothing could be scored."""

    miou: float | None
    fingerprint: str  # empty where the cell is missing
    entered: bool


@dataclass(frozen=True)
class Board:
    """A board by the name that the reader gave it."""

    name: str
    place: str  # file, or commit and file
    cells: dict[Key, Score]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of the board, by target then source: those of runs, of entered rows if there are no others."""
        of_runs = {key[1:3] for key, score in self.cells.items() if not score.entered}
        return sorted(of_runs or {key[1:3] for key in self.cells}, key=lambda pair: (pair[1], pair[0]))

    def mean(self, method: str) -> float | None:
        """As the leaderboard has it: over seeds, then over all pairs; None unless each has a value."""
        return mean(self.on_pair(method, pair) for pair in self.pairs)

    def on_pair(self, method: str, pair: tuple[str, str]) -> float | None:
        """Mean over seeds; None if there is no cell or one has no value."""
        return mean(score.miou for key, score in self.cells.items() if (key[0], key[1:3]) == (method, pair))


@dataclass(frozen=True)
class Line:
    """One method, on one pair or on all; or all methods together."""

    method: str
    pair: tuple[str, str] | None
    a: float | None  # mean in A, as its leaderboard has it
    b: float | None
    differences: tuple[float, ...]  # B - A of the cells that have a value in both, by pair then seed
    estimate: Estimate  # of B - A, each pair counting alike
    unpaired: int  # pairs that have a value in both, but no seed
    unchanged: int  # cells of one fingerprint in both
    changed: int  # cells of two fingerprints
    unequal: int  # cells of one fingerprint and two scores: they should not exist
    only_a: int  # cells with a record in A alone
    only_b: int

    @property
    def difference(self) -> float | None:
        """Mean difference B - A; None if no pair has a value in both."""
        return self.estimate.mean

    @property
    def better(self) -> int:
        """Cells that B scores higher."""
        return sum(value > 0 for value in self.differences)


def read_board(text: str, *, name: str, place: str) -> Board:
    """A board from the text of its cells.csv. Raises BadInput naming `place` and the line that is wrong."""
    reader = csv.DictReader(StringIO(text))
    if lacking := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise BadInput(f"{place}: no cells.csv of a board, it lacks column {lacking[0]!r}; build the board again")
    cells: dict[Key, Score] = {}
    for line in reader:
        try:
            key = (line["method"], line["source"], line["target"], int(line["seed"]))
            score = Score(float(line["miou"]) if line["miou"] else None, line["score"], is_entered(line["origin"]))
        except (TypeError, ValueError) as error:
            raise BadInput(f"{place}: line {reader.line_num}: {error}; build the board again") from None
        if key in cells:
            raise BadInput(f"{place}: line {reader.line_num}: a second line for one cell; build the board again")
        cells[key] = score
    if not cells:
        raise BadInput(f"{place}: no cell in it; build the board again")
    return Board(name, place, cells)


def of_methods(a: Board, b: Board, of_a: str, of_b: str) -> tuple[Board, Board]:
    """One method of A and one of B, as if they were one. Raises BadInput where a board has no such method."""
    name = of_a if of_a == of_b else f"{of_a} {ARROW} {of_b}"
    return _alone(a, of_a, name), _alone(b, of_b, name)


def _alone(board: Board, method: str, name: str) -> Board:
    methods = {key[0] for key in board.cells}
    if method not in methods:
        raise BadInput(f"{board.place}: no method {method!r}; {suggest(method, methods)}")
    own = {(name, *key[1:]): score for key, score in board.cells.items() if key[0] == method}
    return Board(f"{board.name}, {method}", board.place, own)


def compare(a: Board, b: Board, *, by_pair: bool = False) -> list[Line]:
    """A line per method of either board, A's first; with `by_pair` one per method and pair that has a cell."""
    methods = dict.fromkeys(key[0] for key in (*a.cells, *b.cells))
    if not by_pair:
        return [_line(a, b, method, None) for method in methods]
    pairs = sorted({key[1:3] for key in (*a.cells, *b.cells)}, key=lambda pair: (pair[1], pair[0]))
    present = {(key[0], key[1:3]) for key in (*a.cells, *b.cells)}
    return [_line(a, b, method, pair) for method in methods for pair in pairs if (method, pair) in present]


def _line(a: Board, b: Board, method: str, pair: tuple[str, str] | None) -> Line:
    wanted = sorted(key for key in {*a.cells, *b.cells} if key[0] == method and pair in (None, key[1:3]))
    in_a, in_b = (_recorded(board, wanted) for board in (a, b))
    both = [(in_a[key], in_b[key]) for key in wanted if key in in_a and key in in_b]
    same = [(one, other) for one, other in both if one.fingerprint == other.fingerprint]
    found = differences(_by_pair(in_a), _by_pair(in_b))
    return Line(
        method=method,
        pair=pair,
        a=a.on_pair(method, pair) if pair else a.mean(method),
        b=b.on_pair(method, pair) if pair else b.mean(method),
        differences=tuple(value for on in found.values() for value in on.by_seed.values()),
        estimate=estimated(found),
        unpaired=sum(not on.by_seed for on in found.values()),
        unchanged=len(same),
        changed=len(both) - len(same),
        unequal=sum(one.miou != other.miou for one, other in same),
        only_a=len(in_a) - len(both),
        only_b=len(in_b) - len(both),
    )


def _recorded(board: Board, keys: Iterable[Key]) -> dict[Key, Score]:
    """The cells that have a record."""
    return {key: board.cells[key] for key in keys if key in board.cells and board.cells[key].fingerprint}


def total(a: Board, b: Board) -> Line:
    """All methods as one: on each pair the mean of the differences of those that have a value in both boards."""
    lines = compare(a, b)
    found = [differences(*(_scores(board, line.method) for board in (a, b))) for line in lines]
    return Line(
        method=TOTAL,
        pair=None,
        a=None,
        b=None,
        differences=tuple(value for line in lines for value in line.differences),
        estimate=estimated(together(found)),
        **{count: sum(getattr(line, count) for line in lines) for count in COUNTS},
    )


def _scores(board: Board, method: str) -> dict[tuple[str, str], dict[int, float]]:
    return _by_pair(_recorded(board, sorted(key for key in board.cells if key[0] == method)))


def _by_pair(cells: Mapping[Key, Score]) -> dict[tuple[str, str], dict[int, float]]:
    """One method's scores, of the cells that have one."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for key, score in cells.items():
        if score.miou is not None:
            found.setdefault(key[1:3], {})[key[3]] = score.miou
    return found
