"""The gains of a board as tables: a file for machines, and the texts that the pages show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.gains import Gain, gains
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.text import csv_text, fixed, percent, points

P_DECIMALS = 3  # of a p on a page
LEAST_P = 0.001  # smaller ones are shown as less than this
COLUMNS = (
    *("method", "against", "role", "pairs", "seeds", "gain", "low", "high", "interval", "p", "p_holm", "p_wilcoxon"),
    *("detectable", "better", "gap_closed", "note"),
)
CLASS_COLUMNS = (
    *("class", "method", "against", "role", "pairs", "seeds", "gain", "low", "high", "interval", "p"),
    *("detectable", "better", "note"),
)
MEANING = (
    "A gain is the mean over the board's pairs (on one pair: over seeds) of the difference in mIoU to the named row, "
    "on the seeds that both have, in points, with its 95 % interval. Pairs that share a domain are not independent: "
    "the interval and p allow for it (two-way clusters of source and target), Wilcoxon's p does not. Holm adjusts p "
    "for the number of methods in this table. Detectable is the smallest true gain that would be found at 5 % with "
    "80 % probability, given this spread. Gap closed is (method − floor) / (ceiling − floor) in %, on the seeds that "
    "all three have, where ceiling − floor is more than noise."
)


@dataclass(frozen=True)
class GainLine:
    """One method as a page shows it, in the order of its columns; empty where there is nothing to show."""

    method: str
    against: str
    gain: str  # points, signed
    interval: str
    kind: str  # of the interval
    holm: str
    wilcoxon: str
    detectable: str
    better: str
    closed: str
    images: str = ""  # pairs whose gain is beyond the noise of their images; on a page that has such intervals


def signed(value: float | None, decimals: int = 2) -> str:
    """A difference of fractions in points with its sign; a minus as wide as the plus; empty for None."""
    if value is None:
        return ""
    text = f"{100 * value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def gain_lines(found: Mapping[str, Gain], *, beyond: Mapping[str, str] | None = None) -> list[GainLine]:
    """The gains in their order, in words; `beyond` are the last column's, by method."""
    return [_line(method, gain, (beyond or {}).get(method, "")) for method, gain in found.items()]


def _line(method: str, gain: Gain, beyond: str) -> GainLine:
    about = gain.estimate
    return GainLine(
        method=method,
        against=gain.against,
        gain=signed(about.mean),
        interval=" to ".join(map(signed, about.interval)) if about.interval else "",
        kind=about.told,
        holm=_p(gain.holm),
        wilcoxon=_p(gain.wilcoxon),
        detectable=percent(about.detectable),
        better=f"{gain.better} of {len(gain.values)}" if about.mean is not None else "",
        closed=fixed(None if gain.closed is None else 100 * gain.closed, 0),
        images=beyond,
    )


def gain_notes(found: Mapping[str, Gain]) -> list[tuple[str, str]]:
    """Why something is blank, each reason once, after the methods that it is about."""
    about: dict[str, list[str]] = {}
    for method, gain in found.items():
        about.setdefault(note(gain), []).append(method)
    return [(", ".join(methods), reason) for reason, methods in about.items() if reason]


def note(gain: Gain) -> str:
    """Why something of one method is blank; empty if nothing is."""
    return "; ".join(filter(None, (gain.estimate.reason, gain.not_closed if not gain.lacking else "")))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"< {LEAST_P}" if value < LEAST_P else fixed(value, P_DECIMALS)


def gains_csv(found: Mapping[str, Gain]) -> str:
    """One line per method that names a row of the board, in points of mIoU; the header alone if none does."""
    return csv_text(COLUMNS, (_csv_line(method, gain) for method, gain in found.items()))


def class_gains_csv(rows: Sequence[Row], cells: Sequence[TableCell], classes: Sequence[str], *, about: About) -> str:
    """One line per class and method, in points of that class's IoU; p is not adjusted for the number of lines.

    A row has no gain where its IoU or its peer's is undefined on one of the cells: such a class is in neither truth nor
    prediction of that target.
    """
    found = {name: gains(rows, cells, about, score=lambda cell, name=name: cell.iou(name)) for name in classes}
    lines = ((name, method, gain) for name, by_method in found.items() for method, gain in by_method.items())
    return csv_text(CLASS_COLUMNS, ([name, *_class_line(method, gain)] for name, method, gain in lines))


def _class_line(method: str, gain: Gain) -> list[object]:
    line = dict(zip(COLUMNS, _csv_line(method, gain), strict=True))
    return [line[column] if column != "note" else gain.estimate.reason for column in CLASS_COLUMNS[1:]]


def _csv_line(method: str, gain: Gain) -> list[object]:
    about, (low, high) = gain.estimate, gain.estimate.interval or (None, None)
    seeds = sorted({len(values) for values in gain.by_seed.values()})
    return [
        *(method, gain.against, gain.role),
        f"{len(gain.values)}/{len(gain.by_seed)}",
        "-".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
        *map(points, (about.mean, low, high)),
        about.told,
        *(fixed(value, 4) for value in (about.p, gain.holm, gain.wilcoxon)),
        percent(about.detectable),
        gain.better if about.mean is not None else "",
        fixed(None if gain.closed is None else 100 * gain.closed),
        note(gain),
    ]
