"""The ranks of a board as a file for machines, and what they mean in words."""

from xdseg.reporting.ranks import Ranks, Standing
from xdseg.reporting.text import csv_text, fixed

COLUMNS = ("method", "mean_rank", "low", "high", "pairs", "not_separable_from", "tied_with_best", "note")
MEANING = (
    "On each pair methods are ranked by mIoU, the mean over seeds; equal ones share a rank. The mean rank is over the "
    "pairs. Every two methods are then compared by their mean difference in mIoU over the pairs, clustered by source "
    "and target, with Holm's adjustment over all comparisons, at 5 %. In brackets: the ranks by mean mIoU that these "
    "tests leave open, at once for all methods; a mean rank may lie outside. A bar joins methods of which no test "
    "separates two, with a dot on each, in blue where the best is among them. It is not the critical difference of a "
    "Nemenyi test, and has no fixed length; a method that is not separable from the best is tied with it."
)


def ranks_csv(found: Ranks) -> str:
    """One line per method, by mean rank, then those that are not ranked and why; a board without ranks has none."""
    if not found.standings:
        return csv_text(COLUMNS, [])
    left_out = [[method, "", "", "", pairs, "", "", why] for method, (pairs, why) in found.left_out.items()]
    return csv_text(COLUMNS, [*(_line(found, standing) for standing in found.standings), *left_out])


def _line(found: Ranks, standing: Standing) -> list[object]:
    about = [standing.low, standing.high, f"{found.pairs}/{found.pairs}", "; ".join(standing.alike)]
    return [standing.method, fixed(standing.mean_rank), *about, "yes" if found.tied(standing) else "no", ""]
