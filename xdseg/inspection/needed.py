"""What the grid in force and every preset need of results/: run folders, predictions, caches."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.merging import merge
from xdseg.params import Params, parse, read_yaml
from xdseg.workflow import Plan, cache_path

PRESETS = Path("pipeline/presets")
PARAMS = Path("params.yaml")
NAMES_A_GRID = ("suite", "methods", "pairs", "also", "seeds", "protocol")  # without any, a preset is no grid of its own


@dataclass(frozen=True)
class Needed:
    """Paths that some grid needs, and suites that cannot be judged, each with the reason."""

    paths: frozenset[str]
    closed: dict[str, str]


def needed(params: Params) -> Needed:
    """What the grid of `params` and those of the presets need, the ones in folders below included.

    Where a preset's fingerprints cannot be told (no lock, weights that are not there), nothing of its suite can be
    called stale. One that only changes a grid named elsewhere is no grid by itself. Raises BadInput if `params` do not
    give a grid.
    """
    paths, closed = paths_of(Plan(params)), {}
    base = read_yaml(PARAMS)
    for preset in sorted(PRESETS.rglob("*.yaml")):
        overlay = read_yaml(preset)
        named = overlay.get("grid")
        if not isinstance(named, dict) or not any(key in named for key in NAMES_A_GRID):
            continue
        config = merge(base, overlay)
        try:
            paths |= paths_of(Plan(parse(config)))
        except BadInput as error:
            closed.setdefault(_suite(config, preset), f"{preset}: {str(error).splitlines()[0]}")
    return Needed(frozenset(paths), closed)


def _suite(config: dict[str, Any], preset: Path) -> str:
    suite = config["grid"].get("suite")
    if not isinstance(suite, str):
        raise BadInput(f"{preset}: grid.suite: expected the name of a suite; mend the preset or delete it")
    return suite


def paths_of(plan: Plan) -> set[str]:
    """Run folders, folders and receipts of predictions, and indices of decoded splits of one grid."""
    context = plan.context
    targets = {cell.pair.target for cell in plan.cells}
    splits = {seen for run in plan.runs.values() for seen in run.sees}
    splits |= {(target, context.eval_split(target), what) for target in targets for what in ("images", "labels")}
    found: Iterable[str] = (cache_path(context, *split) for split in splits)
    return {*plan.runs, *plan.by_folder, *plan.predictions.values(), *found}
