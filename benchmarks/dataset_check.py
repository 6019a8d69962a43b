"""Public data sets: checking and locking 25,000 pairs, checking them again, and mapping label ids.

The pairs stand in GTA5's layout, PNG images and PNG labels with a palette: 25,000 of 160 × 90, copies of 200 distinct
ones, and 200 of GTA5's own size, 1914 × 1052. They take 1.3 GB of the temporary folder, and lie in the page cache.

Checking: `prepare_public` on all cores, which also writes the lock, against a plain Pillow loop on one core, the same
in a multiprocessing Pool, and a Pool with this project's own savings: images are not decoded, as the checksums that a
PNG carries show damage. All must find the same sizes, ids and digests. Wall clock; no bound.

Checking again after no change: `xdseg prepare`, and `prepare_public` alone, each a fresh process with its start-up.
Bound: 2 s of wall clock.

Mapping raw ids of 1024 × 2048 label maps to Cityscapes' 19 classes by table. Bound: at least 5 × as fast as one masked
assignment per class (`out[raw == old] = new`), which is the least that a sequential mapping does. Other tables are
measured too. Each must map equally.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import dataset_arms as arms
import dataset_project as project
import measure
import numpy as np
from dataset_tree import scenes, write_tree
from measure import Figure

from xdseg.datasets import cityscapes
from xdseg.datasets.spaces import CITYSCAPES

AGAIN, FASTER = 2, 5  # seconds, times
FULL = {
    "small": {"height": 90, "width": 160, "pairs": 25_000, "distinct": 200},
    "large": {"height": 1052, "width": 1914, "pairs": 200, "distinct": 8},
    "maps": {"height": 1024, "width": 2048, "rounds": 15},
    "rounds": 3,  # of checks; processes that check again run twice as often
}
QUICK = {
    "small": {"height": 32, "width": 64, "pairs": 40, "distinct": 4},
    "large": {"height": 64, "width": 96, "pairs": 20, "distinct": 2},
    "maps": {"height": 64, "width": 128, "rounds": 3},
    "rounds": 2,
}
TABLE = cityscapes.DATASET.table("cityscapes", CITYSCAPES)
AGAINST = {
    "loop": "Pillow on one core / ours",
    "pool": "Pillow in a Pool / ours",
    "pool_saving": "Pillow in a Pool, images not decoded / ours",
}
Seconds = dict[str, list[float]]  # by arm, one per round


def checked(folder: Path, paths: Sequence[arms.Pair], *, rounds: int) -> Seconds:
    """Wall clock of each way to check all pairs."""
    found: dict[str, list[arms.Found]] = {}

    def ours() -> None:
        project.forget(folder)
        project.prepare(folder, len(paths))

    def plain(name: str, run: Callable[..., list[arms.Found]], check: arms.Check) -> None:
        found[name] = run(check, paths)

    ways = {
        "ours": ours,
        "loop": partial(plain, "loop", arms.alone, arms.decoded),
        "pool": partial(plain, "pool", arms.pooled, arms.decoded),
        "pool_saving": partial(plain, "pool_saving", arms.pooled, arms.verified),
    }
    seconds = measure.in_turns(ways, rounds=rounds, clock=time.perf_counter, warmup=0)
    check_equal(project.looks(folder, len(paths)), found)
    return seconds


def check_equal(ours: list[arms.Found], others: dict[str, list[arms.Found]]) -> None:
    """All find the same of every pair, or nothing may be compared."""
    if other := [name for name, found in others.items() if found != ours]:
        raise SystemExit(f"dataset_check: {' and '.join(other)} and ours find other sizes, ids or digests")


def checked_again(folder: Path, pairs: int, *, rounds: int) -> Seconds:
    """Wall clock of fresh processes that find nothing changed."""
    project.overlay(folder, pairs)
    before = project.lock(folder)
    ways = {"command": partial(project.command, folder), "process": partial(project.process, folder, pairs)}
    seconds = measure.in_turns(ways, rounds=rounds, clock=time.perf_counter)
    if not before or project.lock(folder) != before:
        raise SystemExit("dataset_check: checking again left another lock")
    return seconds


def mapped(*, height: int, width: int, rounds: int) -> Seconds:
    """The processor's seconds per label map of each way to map three of them."""
    labels = [label for _, label in scenes(3, height=height, width=width)]
    check_mappings(labels)
    ways = {name: partial(_map_all, mapping, labels) for name, mapping in arms.MAPPINGS.items()}
    seconds = measure.in_turns(ways, rounds=rounds, clock=time.process_time)
    return {name: [s / len(labels) for s in spent] for name, spent in seconds.items()}


def _map_all(mapping: arms.Mapping, labels: Sequence[np.ndarray]) -> None:
    for raw in labels:
        mapping(raw, TABLE)


def check_mappings(labels: Sequence[np.ndarray]) -> None:
    """All map to the same classes, or nothing may be compared."""
    for name, mapping in arms.MAPPINGS.items():
        if any(not np.array_equal(mapping(raw, TABLE), arms.sequential(raw, TABLE)) for raw in labels):
            raise SystemExit(f"dataset_check: {name} and sequential map to other classes")


def check_figures(name: str, size: str, seconds: Seconds) -> list[Figure]:
    """What others take longer than ours, and what each takes."""
    ratios = [
        Figure(f"{name}_{arm}", measure.ratios(seconds[arm], seconds["ours"]), about=f"{size}: {text}")
        for arm, text in AGAINST.items()
    ]
    return ratios + [Figure(f"s_{name}_{arm}", s, unit="s", about=f"{size}: {arm}") for arm, s in seconds.items()]


def map_figures(seconds: Seconds) -> list[Figure]:
    """The same of mappings; the sequential one bears the bound."""
    against = {name: measure.ratios(spent, seconds["ours"]) for name, spent in seconds.items() if name != "ours"}
    bounds = {"sequential": FASTER}
    ratios = [
        Figure(f"map_{name}", found, least=bounds.get(name), about=f"mapping ids: {name} / ours")
        for name, found in against.items()
    ]
    return ratios + [
        Figure(f"ms_map_{name}", [1e3 * s for s in spent], unit="ms", about=f"mapping ids: {name}, per label map")
        for name, spent in seconds.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    sizes = QUICK if chosen.quick else FULL
    found = measure.Results(notes={name: sizes[name] for name in ("small", "large", "maps")})
    with TemporaryDirectory() as scratch:
        for name in ("small", "large"):
            folder, tree = Path(scratch) / name, sizes[name]
            paths = write_tree(folder / "gta5", **tree)
            about = f"{tree['pairs']} pairs of {tree['width']} × {tree['height']}"
            found.others += check_figures(f"check_{name}", about, checked(folder, paths, rounds=sizes["rounds"]))
        pairs = sizes["small"]["pairs"]
        again = checked_again(Path(scratch) / "small", pairs, rounds=2 * sizes["rounds"] + 1)
    for arm, what in (("command", "xdseg prepare"), ("process", "prepare_public alone")):
        about = f"{pairs} pairs again, nothing changed: {what}"
        found.bounded.append(Figure(f"again_{arm}", again[arm], most=AGAIN, unit="s", about=about))
    of_maps = map_figures(mapped(**sizes["maps"]))
    found.bounded += [figure for figure in of_maps if figure.bound]
    found.others += [figure for figure in of_maps if not figure.bound]
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
