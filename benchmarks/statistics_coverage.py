"""How often intervals hold the truth, equal methods are found different, and ranks are lost, by simulation.

    python benchmarks/statistics_coverage.py [--quick] [--check] [--out FILE]

docs/statistics.md quotes the tables. Bounds: equal methods are found different on at most 5 % of boards of all ordered
pairs of five domains, however domains matter; 93 to 97 % of the intervals over 200 images hold the truth.
"""

import sys
from math import sqrt

import measure
import statistics_simulated as simulated
from rich.console import Console
from rich.table import Table

from xdseg.reporting.statistics.bootstrap import FEWEST_CLUSTERS, too_few

NORMAL = 1.96  # quantile of a 95 % interval
DOMAINS = (3, 4, 5, 8)
SIZES = (10, 20, 50, 200)
SEEDS = (2, 3, 5)
TESTS = {
    "ours": simulated.ours,
    "two-way alone": simulated.plain_two_way,
    "independent": simulated.independent,
}
CROSSED, IMAGES = 5, 200  # that the bounds are on
METHODS = 4  # of a board of ranks
RANKED = ("noise alone", "of both", "one effect in both roles", "one effect in both roles, strong")  # effects there
COMPARED = {"ours": simulated.over_pairs, "independent": simulated.unclustered}


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print, write."""
    chosen = measure.options(__doc__, arguments)
    boards, samples, replicates = (200, 20, 200) if chosen.quick else (4000, 4000, 2000)
    positives = {
        (test, arm.name, domains): simulated.false_positives(call, arm, simulated.crossed(domains), number=boards)
        for domains in DOMAINS
        for arm in simulated.ARMS
        for test, call in TESTS.items()
        if test == "ours" or domains == CROSSED
    }
    coverage = {size: simulated.image_coverage(size, number=samples, replicates=replicates) for size in SIZES}
    seeds = {size: simulated.seed_coverage(size, number=boards) for size in SEEDS}
    ranked = boards // 8
    lost = {
        (name, arm.name): simulated.lost_ranks(call, arm, simulated.crossed(CROSSED), methods=METHODS, number=ranked)
        for name, call in COMPARED.items()
        for arm in simulated.ARMS
        if arm.name in RANKED
    }
    _print_positives(positives, boards)
    _print_lost(lost, ranked)
    _print_coverage(coverage, seeds, samples)
    # a share that is 5 % in truth is drawn above 5 % half of the time
    allowed = round(100 * (0.05 + NORMAL * sqrt(0.05 * 0.95 / boards)), 1)
    worst = 100 * max(positives["ours", arm.name, CROSSED] for arm in simulated.ARMS)
    shares = {"positives": positives, "lost_ranks": lost, "images": coverage, "seeds": seeds}
    sizes = {"boards": boards, "boards_ranked": ranked, "samples": samples, "replicates": replicates}
    found = measure.Results(notes=sizes | {name: _told(share) for name, share in shares.items()})
    found.bounded += [
        measure.Figure("false_positives", [worst], most=allowed, unit="%", about="worst arm, 20 pairs of 5 domains"),
        measure.Figure("coverage_low", [100 * min(coverage[IMAGES])], least=93, unit="%", about="lowest, 200 images"),
        measure.Figure("coverage_high", [100 * max(coverage[IMAGES])], most=97, unit="%", about="highest, 200 images"),
    ]
    return measure.report(found, chosen)


def _told(shares: dict) -> dict[str, float | list[float]]:
    """Shares in percent for JSON, by arms in one word."""
    named = {", ".join(map(str, key)) if isinstance(key, tuple) else str(key): value for key, value in shares.items()}
    return {
        key: [round(100 * share, 1) for share in value] if isinstance(value, tuple) else round(100 * value, 1)
        for key, value in named.items()
    }


def _print_positives(positives: dict[tuple[str, str, int], float], boards: int) -> None:
    table = Table(title=f"equal methods found different, % of {boards} boards of all ordered pairs")
    columns = [("ours", domains) for domains in DOMAINS] + [(test, CROSSED) for test in list(TESTS)[1:]]
    for name in ("effect of domains", *(f"{test}, {domains}" for test, domains in columns)):
        table.add_column(name)
    for arm in simulated.ARMS:
        table.add_row(arm.name, *(f"{100 * positives[test, arm.name, domains]:.1f}" for test, domains in columns))
    Console(width=measure.WIDTH).print(table)


def _print_lost(lost: dict[tuple[str, str], float], boards: int) -> None:
    table = Table(title=f"a rank lost, % of {boards} boards of {METHODS} equal methods, all pairs of {CROSSED} domains")
    for name in ("effect of domains", *COMPARED):
        table.add_column(name)
    for arm in RANKED:
        table.add_row(arm, *(f"{100 * lost[name, arm]:.1f}" for name in COMPARED))
    Console(width=measure.WIDTH).print(table)


def _print_coverage(coverage: dict[int, tuple[float, float]], seeds: dict[int, float], samples: int) -> None:
    table = Table(title=f"95 % intervals that hold the truth, %; images: {samples} samples")
    for name in ("over", "n", "mIoU", "gain"):
        table.add_column(name)
    for size, held in coverage.items():
        shown = [f"{100 * share:.1f}" for share in held]
        if too_few(size):
            shown = [f"not given: fewer than {FEWEST_CLUSTERS} ({would} if it were)" for would in shown]
        table.add_row("images", f"{size}", *shown)
    for size, held in seeds.items():
        table.add_row("seeds", f"{size}", "", f"{100 * held:.1f}")
    Console(width=measure.WIDTH).print(table)


if __name__ == "__main__":
    sys.exit(main())
