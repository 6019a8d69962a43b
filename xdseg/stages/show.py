"""`xdseg params`: the settings in force and the grid that they make."""

from collections import Counter

import yaml

from xdseg.canonical import short
from xdseg.cells import Context
from xdseg.grid import Expansion, expand
from xdseg.settings.training import Augmentation, Training


def show(context: Context) -> None:
    """Print resolved settings as YAML, then runs and cells with their fingerprints, then what is excluded and why."""
    expansion = expand(context)
    print(yaml.safe_dump(resolved(context), sort_keys=False, width=110), end="")
    _show_runs(expansion)
    _show_cells(expansion)
    _show_excluded(expansion)


def resolved(context: Context) -> dict:
    """The settings of the grid's methods with every default written out."""
    params = context.params
    methods = {}
    for name in params.grid.every_method:
        method = params.methods[name]
        kind, segmenter = params.component("segmenters", method.segmenter)
        methods[name] = {
            **method.model_dump(mode="json", exclude={"training", "augmentation"}, exclude_defaults=True),
            "segmenter": {"kind": kind} | segmenter.model_dump(mode="json"),
            "adaptations": {part: _written_out(context, part) for part in method.adaptations},
            "training": context.recipe(method, "training", Training).model_dump(mode="json"),
            "augmentation": context.recipe(method, "augmentation", Augmentation).model_dump(mode="json"),
        }
    evaluation = {"inference": context.inference, "scoring": context.scoring}
    return {
        "grid": params.grid.model_dump(mode="json"),
        "suite": params.suites[params.grid.suite].model_dump(mode="json"),
        **{key: settings.model_dump(mode="json") for key, settings in evaluation.items()},
        "methods": methods,
        "runtime": params.runtime.model_dump(mode="json"),
    }


def _written_out(context: Context, adaptation: str) -> dict:
    kind, settings = context.params.component("adaptations", adaptation)
    return {"kind": kind} | settings.model_dump(mode="json")


def _show_runs(expansion: Expansion) -> None:
    uses = Counter(cell.run.key for cell in expansion.cells)
    print(f"\n# {len(expansion.runs)} runs")
    for run in expansion.runs:
        print(f"{run.name}  serves {uses[run.key]} cells")


def _show_cells(expansion: Expansion) -> None:
    print(f"\n# {len(expansion.cells)} cells: method, pair, seed, train, predict, score")
    for cell in expansion.cells:
        prints = "  ".join(short(digest) for digest in (cell.run.fingerprint, cell.predict, cell.score))
        print(f"{cell.method}  {cell.pair}  {cell.seed}  {prints}")


def _show_excluded(expansion: Expansion) -> None:
    if expansion.excluded:
        print(f"\n# {len(expansion.excluded)} excluded")
    for excluded in expansion.excluded:
        print(f"{excluded.method}  {excluded.pair}: {excluded.reason}")
