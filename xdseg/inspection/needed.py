"""What the grid in force, that of params.yaml, every preset and every start need of results/."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.merging import merge
from xdseg.params import Params, parse, read_yaml
from xdseg.records import read_json
from xdseg.workflow import STARTED, Plan, cache_path

PRESETS = Path("pipeline/presets")
PARAMS = Path("params.yaml")
NAMES_A_GRID = ("suite", "methods", "pairs", "also", "seeds", "protocol")  # without any, a preset is no grid of its own


@dataclass(frozen=True)
class Needed:
    """Paths that some grid needs, those that only earlier starts asked for, and suites that cannot be judged, and why.

    Paths are those of run folders, of predictions and their receipts, and of the indices of decoded splits.
    """

    paths: frozenset[str]
    closed: dict[str, str]
    started: frozenset[str] = frozenset()


def needed(params: Params, *, earlier: bool = True) -> Needed:
    """What the grids of `params`, of params.yaml and of the presets need, those in folders below included.

    With `earlier` also what the workflow was started with before, which may be overlays that lie anywhere. Where the
    fingerprints of one cannot be told (no lock, weights that are not there), nothing of its suite can be called stale.
    A preset that only changes a grid named elsewhere is no grid by itself. Raises BadInput if `params` do not give a
    grid.
    """
    closed: dict[str, str] = {}
    paths = paths_of(Plan(params)) | _asked(_grids(), closed)
    started = _asked(_starts(), closed) if earlier else set()
    return Needed(frozenset(paths), closed, frozenset(started - paths))


def _asked(grids: Iterable[tuple[Path, dict[str, Any]]], closed: dict[str, str]) -> set[str]:
    """Paths that grids ask for; suites of those that cannot be judged are put into `closed`."""
    paths: set[str] = set()
    for file, config in grids:
        try:
            paths |= paths_of(Plan(parse(config)))
        except BadInput as error:
            closed.setdefault(_suite(config, file), f"{file}: {str(error).splitlines()[0]}")
    return paths


def _grids() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Settings with a grid of their own: params.yaml alone, and under each preset."""
    base = read_yaml(PARAMS)
    yield PARAMS, base
    for preset in sorted(PRESETS.rglob("*.yaml")):
        overlay = read_yaml(preset)
        named = overlay.get("grid")
        if isinstance(named, dict) and any(key in named for key in NAMES_A_GRID):
            yield preset, merge(base, overlay)


def _starts() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Settings that the workflow was started with."""
    return ((file, read_json(file)) for file in sorted(STARTED.glob("*.json")))


def _suite(config: dict[str, Any], file: Path) -> str:
    grid = config.get("grid")
    suite = grid.get("suite") if isinstance(grid, dict) else None
    if not isinstance(suite, str):
        raise BadInput(f"{file}: grid.suite: expected the name of a suite; mend it, or delete it if not {PARAMS}")
    return suite


def paths_of(plan: Plan) -> set[str]:
    """Run folders, folders and receipts of predictions, and indices of decoded splits of one grid."""
    context = plan.context
    targets = {cell.pair.target for cell in plan.cells}
    splits = {seen for run in plan.runs.values() for seen in run.sees}
    splits |= {(target, context.eval_split(target), what) for target in targets for what in ("images", "labels")}
    found: Iterable[str] = (cache_path(context, *split) for split in splits)
    return {*plan.runs, *plan.by_folder, *plan.predictions.values(), *found}
