"""The leaderboard as a LaTeX table that a paper can take as it is."""

import re
from collections.abc import Iterable, Iterator, Sequence

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.ranks import Ranks
from xdseg.reporting.text import percent

MOST_PAIRS = 8  # a board of more has the column of the mean alone
MISSING = "--"
DAGGER = r"$^\dagger$"  # beside rows that were entered from predictions
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after \\ it would begin an option
    "]": "{]}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
LIGATURE = re.compile(r"([-'`,?!])(?=[-'`,])")  # of two hyphens LaTeX makes a dash
MARKS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}  # of the row that a rank is left to alone
MEANING = (
    "Cells are mIoU in %, means over seeds; -- is a cell that is missing, or a mean that lacks one.",
    "Bold, or underlined: the tests of ranks.csv leave the first, or second, rank to this method alone. Without marks",
    "they do not separate it from all others. They are about the mean over pairs, so that no single pair is marked.",
    "Needs \\usepackage{booktabs}.",
)


def leaderboard_tex(rows: Sequence[Row], cells: Sequence[TableCell], found: Ranks, *, board: str, suite: str) -> str:
    r"""A `tabular`, one line per row, with comments on top that say what it is; `found` are the board's ranks."""
    pairs = list(rows[0].by_pair) if len(rows[0].by_pair) <= MOST_PAIRS else []
    versions = sorted({cell.record["benchmark_version"] for cell in cells if cell.record})
    head = [f"Board {board}, suite {suite}, benchmark version {', '.join(versions) or 'none'}.", *MEANING]
    header = ["Method", *(r" $\rightarrow$ ".join(map(tex, pair)) for pair in pairs), "Mean"]
    marked = {method: mark for rank, mark in MARKS.items() if (method := found.alone(rank))}
    return "\n".join(
        [
            *(f"% {' '.join(line.split())}" for line in [*head, *_remarks(rows, found)]),
            rf"\begin{{tabular}}{{l{'r' * (len(pairs) + 1)}}}",
            r"\toprule",
            _line(header),
            r"\midrule",
            *(_line(_columns(row, pairs, marked.get(row.method, "{}"))) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _remarks(rows: Sequence[Row], found: Ranks) -> Iterator[str]:
    if found.reason:
        yield f"No ranks, hence no marks, {found.reason}."
    elif found.left_out:
        yield f"Not ranked: {', '.join(found.left_out)}."
    if any(row.entered for row in rows):
        yield "A dagger: scored from prediction files of other code."


def _columns(row: Row, pairs: Sequence[tuple[str, str]], mark: str) -> Iterator[str]:
    yield tex(row.method) + (DAGGER if row.entered else "")
    yield from (percent(row.by_pair[pair]) or MISSING for pair in pairs)
    yield mark.format(percent(row.miou)) if row.miou is not None else MISSING


def _line(columns: Iterable[str]) -> str:
    return rf"{' & '.join(columns)} \\"


def tex(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    parted = LIGATURE.sub("\\1\0", " ".join(text.split()))
    return "".join(SPECIAL.get(letter, letter) for letter in parted).replace("\0", "{}")
