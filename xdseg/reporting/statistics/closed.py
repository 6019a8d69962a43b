"""How much of the gap between its floor and its ceiling a method closes."""

from xdseg.reporting.statistics.estimate import Estimate


def gap_closed(gain: float, gap: Estimate) -> tuple[float | None, str]:
    """(method - floor) / (ceiling - floor); 1 is the ceiling. `gain` and `gap` are of the same pairs and seeds.

    None, and the reason, where the gap is noise: where its 95 % interval does not lie above 0, or it has none.
    """
    if gap.interval is None:
        return None, f"ceiling − floor has no interval ({gap.reason})"
    if gap.interval[0] <= 0:
        return None, "ceiling − floor is noise: its interval reaches 0"
    return gain / gap.mean, ""
