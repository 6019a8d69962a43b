"""The table that `xdseg compare` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from xdseg.reporting.compare import TOTAL, Board
from xdseg.reporting.verdicts import BETTER, NOISE, WORSE, Judged

UNBOUNDED = 10_000  # columns
LEAST_P = 0.001  # smaller ones are shown as less than this
NOTHING = "–"
COLOURS = {BETTER: "green", WORSE: "red"}
COLUMNS = ("A", "B", "B - A", "95 % interval", "p, Holm", "better", "same", "changed", "only A", "only B")
MEANING = (
    "mIoU in %; B - A: mean over pairs, or over seeds of one pair, on equal seeds where both have such; "
    "p is adjusted for the lines; detectable: the smallest true difference that would be found with 80 % probability; "
    "better: of the cells with equal seeds; same, changed: cells by fingerprint"
)


def print_table(a: Board, b: Board, judged: Sequence[Judged], *, by_pair: bool = False) -> None:
    """Two lines that name the boards, the table, what its columns mean, and what should not be."""
    console = Console()
    for letter, board in (("A", a), ("B", b)):
        console.print(f"{letter}  {board.name}  ({board.place})", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("method", *(["pair"] if by_pair else [])):
        table.add_column(name, no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in judged:
        table.add_row(*_row(one, by_pair=by_pair))
    needed = Measurement.get(console, console.options.update(width=UNBOUNDED), table).maximum
    Console(width=max(needed, console.width)).print(table)  # a number that is cut is no number
    console.print(MEANING, style="dim", highlight=False, soft_wrap=True)
    if unequal := sum(one.line.unequal for one in judged if one.line.method != TOTAL):
        console.print(f"{unequal} cells have one fingerprint and two scores: made on other machines?", style="bold red")


def _row(one: Judged, *, by_pair: bool) -> list[str]:
    line = one.line
    counts = (line.unchanged, line.changed, line.only_a, line.only_b)
    colour, verdict = COLOURS.get(one.verdict), _verdict(one)
    return [
        line.method,
        *(["->".join(line.pair or ())] if by_pair else []),
        *(NOTHING if value is None else f"{value:.2f}" for value in (line.a, line.b)),
        signed(line.difference),
        " to ".join(map(signed, line.estimate.interval)) if line.estimate.interval else "",
        _p(one.holm),
        f"{line.better}/{len(line.differences)}" if line.differences else NOTHING,
        *(str(count) if count else "" for count in counts),
        f"[{colour}]{verdict}[/]" if colour else verdict,
    ]


def _verdict(one: Judged) -> str:
    return f"{one.verdict}, detectable {one.detectable:.2f}" if one.verdict == NOISE else one.verdict


def signed(value: float | None) -> str:
    """Points with two decimals and a sign, none before 0; a dash for None."""
    if value is None:
        return NOTHING
    text = f"{value:+.2f}"
    return text if float(text) else text[1:]


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"< {LEAST_P}" if value < LEAST_P else f"{value:.3f}"
