"""What protocols change about a number: from published rows, and by scoring stored predictions in several ways.

    python benchmarks/protocol_effects.py [--results results] [--data ../shared/data] [--out FILE]

Published rows need no data. Stored predictions are those of the suite `street` that the workflow left in --results;
made-up predictions are its true labels, moved or coarsened. Differences are in points of mIoU.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import protocol_variants as variants
from protocol_numbers import Row, conditions, sizes, subsets, windows
from protocol_predictions import coarse_scores, labels, made_up, stored
from rich.console import Console
from rich.table import Table

from xdseg.files import write_json
from xdseg.published import read

CLASSES = 7  # of the suite street
NON_DRIVABLE, DRIVABLE = 1, 0
LACKING = {2, 4}  # living and roadside-object: labelme_facade has neither


def rescored(pairs: list[variants.Pair]) -> dict[str, float]:
    """mIoU of one cell as the field counts it, and the points that each other way of scoring adds to it."""
    count = partial(variants.counts, classes=CLASSES)
    per_image = [count(pair) for pair in pairs]
    whole = sum(per_image)
    base = variants.miou(whole)
    rule_a, rule_b = variants.without_outside(whole, LACKING)

    def again(change: Callable[[variants.Pair], variants.Pair], chosen: list[variants.Pair]) -> float:
        return variants.miou(sum(count(change(pair)) for pair in chosen))

    wide = [pair for pair in pairs if pair[0].shape[1] >= pair[0].shape[0]]
    ignoring, joining = ({NON_DRIVABLE: target} for target in (variants.IGNORED, DRIVABLE))
    maps = [again(partial(variants.merged, changes=change), pairs) for change in (ignoring, joining)]
    return {
        "mIoU": base,
        "halved": again(variants.halved, pairs) - base,
        "centre square": again(variants.centre_square, wide) - again(lambda pair: pair, wide),
        "mean of images": variants.mean_of_images(per_image) - base,
        "absent as 0": variants.absent_as_zero(whole) - base,
        "absent left out": variants.present_only(whole) - base,
        "b minus a": rule_b - rule_a,
        "other map": maps[1] - maps[0],
    }


def pooled(cells: dict[str, np.ndarray]) -> Iterator[Row]:
    """Runs that serve three targets and more: the mean over targets and the mIoU of all their pixels."""
    runs: dict[str, list[np.ndarray]] = {}
    for name, matrix in cells.items():
        runs.setdefault(name.rpartition("/")[0], []).append(matrix)
    for run, matrices in runs.items():
        if len(matrices) >= 3:
            four, whole = mean(map(variants.miou, matrices)), variants.miou(sum(matrices))
            yield {"run": run, "targets": len(matrices), "mean": four, "pooled": whole, "difference": whole - four}


def corners(data: Path) -> Iterator[Row]:
    """Scores on a grid of an eighth of the size, true but for the grid, resized by either convention."""
    for domain in ("camvid_day", "camvid_dusk"):  # their sides are multiples of the grid's
        means = []
        for aligned in (False, True):
            pairs = ((truth, coarse_scores(truth, aligned=aligned)) for _, truth in labels(data, domain))
            means.append(variants.miou(sum(variants.counts(pair, classes=CLASSES) for pair in pairs)))
        yield {
            "domain": domain,
            "half pixels": means[0],
            "aligned corners": means[1],
            "difference": means[1] - means[0],
        }


def summary(cells: dict[str, dict[str, float]]) -> Iterator[Row]:
    """Mean, least and most over cells of what every way of scoring adds."""
    for name in next(iter(cells.values())) if cells else ():
        values = [cell[name] for cell in cells.values()]
        spread = {"mean": mean(values), "least": min(values), "most": max(values)}
        yield {"points added by": name} | spread | {"cells": len(values)}


def show(title: str, rows: list[Row]) -> None:
    """Print rows as a table under a title."""
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=180).print(table, "")


def without_images() -> dict[str, list[Row]]:
    """Tables of what follows from published numbers and sizes."""
    rows = read(unconfirmed=True)
    tables = {"classes": subsets(rows), "conditions": conditions(rows), "windows": windows(), "sizes": sizes()}
    return {title: list(found) for title, found in tables.items()}


def on_images(results: Path, data: Path) -> dict[str, list[Row]]:
    """Tables of stored and of made-up predictions, scored in several ways."""
    told: dict[str, list[Row]] = {}
    matrices: dict[str, np.ndarray] = {}
    for name, source in (("stored", stored(results, data)), ("made up", made_up(data))):
        cells = {}
        for cell, pairs in source:
            cells[cell] = rescored(pairs)
            matrices[cell] = sum(variants.counts(pair, classes=CLASSES) for pair in pairs)
        told[f"{name}, spread"] = list(summary(cells))
        told[f"{name}, cells"] = [{"cell": cell} | values for cell, values in cells.items()]
    told["corners"] = list(corners(data))
    told["pooled"] = list(pooled({cell: counts for cell, counts in matrices.items() if "/" in cell}))
    return told


def main(arguments: list[str] | None = None) -> int:
    """Compute, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of trained runs; may be absent")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("XDSEG_DATA") or "../shared/data"))
    parser.add_argument("--cells", action="store_true", help="show every cell, not their spread alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything there too, as JSON")
    chosen = parser.parse_args(arguments)
    told = without_images() | (on_images(chosen.results, chosen.data) if (chosen.data / "street").is_dir() else {})
    for title, found in told.items():
        if chosen.cells or not title.endswith(", cells"):
            show(title, found)
    if chosen.out:
        write_json(chosen.out, told)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
