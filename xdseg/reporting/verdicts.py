"""What a difference between two boards amounts to, in a word, and all of it for machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xdseg.reporting.compare import Board, Line
from xdseg.reporting.differences import DECIMALS
from xdseg.reporting.statistics.detectable import SIZE
from xdseg.reporting.statistics.hypotheses import holm

SAME, NOISE, BETTER, WORSE = "same", "noise", "better", "worse"
NO_SPREAD = "no spread to judge"
NOTHING = "nothing in common"
P_DECIMALS = 4


@dataclass(frozen=True)
class Judged:
    """A line and what it amounts to: `better` and `worse` are said of B."""

    line: Line
    verdict: str
    holm: float | None  # p of the line, adjusted over the lines that it stands with

    @property
    def detectable(self) -> float | None:
        """The smallest true difference that this spread would have shown with 80 % probability; of noise alone."""
        return self.line.estimate.detectable if self.verdict == NOISE else None


def judge(lines: Sequence[Line]) -> list[Judged]:
    """The lines in their order. All are one family of tests: the chance of any false `better` or `worse` is 5 %."""
    found = {str(at): line.estimate.p for at, line in enumerate(lines) if not _equal(line)}
    adjusted = holm({at: p for at, p in found.items() if p is not None})
    return [Judged(line, _verdict(line, adjusted.get(str(at))), adjusted.get(str(at))) for at, line in enumerate(lines)]


def _verdict(line: Line, p: float | None) -> str:
    if line.difference is None:
        return NOTHING
    if _equal(line):
        return SAME
    if p is None:
        return NO_SPREAD
    if p >= SIZE:  # where the interval contains 0, p alone is 5 % at least
        return NOISE
    return BETTER if line.difference > 0 else WORSE


def _equal(line: Line) -> bool:
    return bool(line.differences) and not any(line.differences) and not line.unpaired


def as_json(
    a: Board, b: Board, *, methods: Sequence[Judged], whole: Judged | None, pairs: Sequence[Judged]
) -> dict[str, Any]:
    """Everything: percentages and points with two decimals, p with four, or null."""
    return {
        "a": {"name": a.name, "place": a.place},
        "b": {"name": b.name, "place": b.place},
        "methods": [_as_json(judged) for judged in methods],
        "total": _as_json(whole) if whole else None,
        "pairs": [_as_json(judged) for judged in pairs],
    }


def _as_json(judged: Judged) -> dict[str, Any]:
    line, estimate = judged.line, judged.line.estimate
    low, high = estimate.interval or (None, None)
    values = {"a": line.a, "b": line.b, "difference": line.difference, "low": low, "high": high}
    values |= {"detectable": judged.detectable}
    counts = ("better", "unpaired", "unchanged", "changed", "unequal", "only_a", "only_b")
    return (
        {"method": line.method}
        | ({"pair": "->".join(line.pair)} if line.pair else {})
        | {name: _rounded(value, DECIMALS) for name, value in values.items()}
        | {
            "verdict": judged.verdict,
            "interval": estimate.told,
            "reason": "" if judged.verdict == SAME else estimate.reason,
        }
        | {"p": _rounded(estimate.p, P_DECIMALS), "p_holm": _rounded(judged.holm, P_DECIMALS)}
        | {"paired": len(line.differences)}
        | {name: getattr(line, name) for name in counts}
    )


def _rounded(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals) + 0.0  # no minus before 0
