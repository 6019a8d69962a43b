"""What the grid in force, that of params.yaml and every preset need of results/: run folders, predictions, caches."""

from collections.abc import Iterable, Iterator
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
    """What the grids of `params`, of params.yaml and of the presets need, those in folders below included.

    Where a preset's fingerprints cannot be told (no lock, weights that are not there), nothing of its suite can be
    called stale. One that only changes a grid named elsewhere is no grid by itself. Raises BadInput if `params` do not
    give a grid.
    """
    paths, closed = paths_of(Plan(params)), {}
    for file, config in _grids():
        try:
            paths |= paths_of(Plan(parse(config)))
        except BadInput as error:
            closed.setdefault(_suite(config, file), f"{file}: {str(error).splitlines()[0]}")
    return Needed(frozenset(paths), closed)


def _grids() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Settings with a grid of their own: params.yaml alone, and under each preset."""
    base = read_yaml(PARAMS)
    yield PARAMS, base
    for preset in sorted(PRESETS.rglob("*.yaml")):
        overlay = read_yaml(preset)
        named = overlay.get("grid")
        if isinstance(named, dict) and any(key in named for key in NAMES_A_GRID):
            yield preset, merge(base, overlay)


def _suite(config: dict[str, Any], file: Path) -> str:
    grid = config.get("grid")
    suite = grid.get("suite") if isinstance(grid, dict) else None
    if not isinstance(suite, str):
        raise BadInput(f"{file}: grid.suite: expected the name of a suite; mend the file, or delete it if a preset")
    return suite


def paths_of(plan: Plan) -> set[str]:
    """Run folders, folders and receipts of predictions, and indices of decoded splits of one grid."""
    context = plan.context
    targets = {cell.pair.target for cell in plan.cells}
    splits = {seen for run in plan.runs.values() for seen in run.sees}
    splits |= {(target, context.eval_split(target), what) for target in targets for what in ("images", "labels")}
    found: Iterable[str] = (cache_path(context, *split) for split in splits)
    return {*plan.runs, *plan.by_folder, *plan.predictions.values(), *found}
