"""`xdseg published`: what others have reported on a pair, as a table or as the rows of published.csv."""

import csv
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.markup import escape

from xdseg.errors import BadInput, suggest
from xdseg.published import COLUMNS, Published, read

if TYPE_CHECKING:
    from rich.table import Table

KNOWN = (
    "mIoU in %; read in R a README, I issues, C code, P the paper; M: recalled, and its classes average to it",
    "unconfirmed: m recalled, secondary read in another's table alone; what makes them differ: docs/protocols.md",
)
PIPED = 120  # columns where no terminal says how many it has
SETTINGS = ("uda", "dg", "source-only", "oracle")


def published(
    pair: str | None = None, *, setting: str | None = None, unconfirmed: bool = False, as_csv: bool = False
) -> None:
    """Print the published results of a pair (SOURCE->TARGET, either side may be empty), best first within a target.

    Raises BadInput for a pair or setting that no row has.
    """
    every = read(unconfirmed=True)
    chosen = _chosen(every, pair, setting)
    shown = [row for row in chosen if unconfirmed or row.sure]
    if as_csv:
        _print_csv(shown)
        return
    _print_table(shown)
    _print_legend(len(shown), len(chosen) - len(shown))


def _chosen(rows: Sequence[Published], pair: str | None, setting: str | None) -> list[Published]:
    source, target = _sides(rows, pair) if pair else ("", "")
    if setting is not None and setting not in SETTINGS:
        raise BadInput(f"published: no setting {setting!r}; {suggest(setting, SETTINGS)}")
    chosen = [
        row
        for row in rows
        if source in ("", row.source) and target in ("", row.target) and setting in (None, row.setting)
    ]
    if not chosen:
        raise BadInput(f"published: no result of {pair} in the setting {setting}; leave one of them out")
    return chosen


def _sides(rows: Sequence[Published], pair: str) -> tuple[str, str]:
    source, arrow, target = (part.strip() for part in pair.partition("->"))
    if not arrow:
        raise BadInput(f"published: {pair!r} is no pair; write SOURCE->TARGET, SOURCE-> or ->TARGET, in quotes")
    source = "+".join(sorted(source.split("+")))
    for side, key in ((source, "source"), (target, "target")):
        known = {getattr(row, key) for row in rows}
        if side and side not in known:
            raise BadInput(f"published: no result has the {key} {side!r}; {suggest(side, known)}")
    if source and target and not any((row.source, row.target) == (source, target) for row in rows):
        targets = sorted({row.target for row in rows if row.source == source})
        raise BadInput(f"published: no result of {pair}; targets of {source} are {', '.join(targets)}")
    return source, target


def _print_csv(rows: Sequence[Published]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.fields() for row in rows)


def _print_table(rows: Sequence[Published]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED)
    for (source, target), part in groupby(sorted(rows, key=_order), key=lambda row: (row.source, row.target)):
        console.print(f"{source} -> {target}", style="bold", highlight=False, markup=False)
        console.print(_table(list(part)), "")


def _order(row: Published) -> tuple:
    return row.source, row.target, row.target_split, row.class_subset, -row.miou


def _table(rows: Sequence[Published]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("method", "backbone", "setting", "split", "classes", "mIoU", "seeds", "known by"):
        right = name in ("classes", "mIoU", "seeds")
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, _cells(row)), style=None if row.sure else "dim")
    return table


def _cells(row: Published) -> list[str]:
    spread = f" ± {row.std}" if row.std is not None else ""
    return [
        *(row.method, row.backbone, row.setting, row.target_split, row.class_subset),
        *(f"{row.miou}{spread}", str(row.n_seeds or ""), "+".join(row.provenance)),
    ]


def _print_legend(shown: int, hidden: int) -> None:
    from rich.console import Console

    said = f", {hidden} unconfirmed {_rows(hidden)} hidden; --unconfirmed shows them" if hidden else ""
    for line in (f"{shown} {_rows(shown)}{said}", *KNOWN):
        Console().print(line, style="dim", highlight=False, soft_wrap=True, markup=False)


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"
