"""The seeds behind a row: how many each pair has, and on a board of one pair what their spread says of its mean."""

from collections.abc import Iterable, Sequence

from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.statistics.estimate import Estimate
from xdseg.reporting.statistics.seeds import over_seeds
from xdseg.reporting.text import percent

DASH, HYPHEN = "–", "-"  # between the ends of a range: for readers, and in files for programs
FEWEST_PAIRS = 2  # over which a mean has no interval over seeds, which are averaged first
MEANING = (
    "± is half of the 95 % interval of the mean over a row's seeds (Student's t, seeds − 1 degrees of freedom): how "
    "far other seeds would move it on this pair. It is not of other domains or images. Rows of one seed have none."
)


def scored_seeds(cells: Sequence[TableCell], pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """By pair, how many seeds of one row have a value there."""
    return {pair: sum(cell.pair == pair and cell.miou is not None for cell in cells) for pair in pairs}


def span(counts: Iterable[int], dash: str = DASH) -> str:
    """Fewest and most seeds of the pairs that have any, as `1–3`, or the one number that there is; `0` without any."""
    known = [count for count in counts if count] or [0]
    return dash.join(dict.fromkeys((str(min(known)), str(max(known)))))


def spread(cells: Sequence[TableCell], pairs: Sequence[tuple[str, str]]) -> Estimate | None:
    """The mean of a row's cells over seeds, on a board of one pair; None on others, or where one has no value."""
    values = [cell.miou for cell in cells if cell.pair in pairs]
    return over_seeds(values) if len(pairs) < FEWEST_PAIRS and values and None not in values else None


def half(found: Estimate | None) -> str:
    """Half of an interval's width in points; empty without one."""
    return percent((found.interval[1] - found.interval[0]) / 2) if found and found.interval else ""


def told(found: Estimate, seeds: int) -> str:
    """A mean over seeds with its interval and their number, or with the reason why it has none."""
    if not (width := half(found)):
        return f"{percent(found.mean)} ({found.reason}; n = {seeds})"
    return f"{percent(found.mean)} ± {width} (95 %, Student's t, n = {seeds})"
