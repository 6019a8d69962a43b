"""`xdseg probe`: do the pre-trained encoders beat random initialisation? A table, on the terminal and as a file."""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from xdseg.backbones.recipes import COMMITTED, recipe
from xdseg.errors import BadInput
from xdseg.files import temporary
from xdseg.params import Params
from xdseg.settings.backbones import Backbone
from xdseg.settings.clip import Clip

TABLE = Path("reports/backbones/probe.csv")
RANDOM_SEEDS = (0, 1, 2)

Measure = Callable[..., dict[str, float]]  # (weights, seed=…) to mIoU by target, in [0, 1]


def probe(names: Sequence[str], params: Params, *, out: Path = TABLE) -> None:
    """Probe some encoders of params.yaml, or all. Raises BadInput for one without weights, before any work."""
    recipes = {name: recipe(params, name) for name in names or params.backbones}
    files = {name: COMMITTED / f"{name}.safetensors" for name in recipes}
    for name, path in files.items():
        if not path.is_file():
            raise BadInput(f"{path}: no such file; make it with `xdseg pretrain {name}`")
    from xdseg.backbones.probe import Probe  # imports torch
    from xdseg.data.streetworld.settings import Streetworld

    settings, scenes, rows = Probe(), Streetworld(), []
    print(f"{'encoder':<20}{'weights':<14}" + "".join(f"{target:>8}" for target in settings.targets), flush=True)
    for name, path in files.items():
        for label, measure in _measures(name, recipes[name]).items():
            rows += _probed(label, partial(measure, settings=settings, scenes=scenes), path, settings.targets)
    with temporary(out) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(
        f"{out}: written (mIoU in %, linear classifier fitted on {settings.domain}; by name: nothing fitted)",
        flush=True,
    )


def _measures(name: str, settings: Backbone | Clip) -> dict[str, Measure]:
    """What is measured of an encoder, and how its rows call it."""
    if not isinstance(settings, Clip):
        from xdseg.backbones.probe import probe as measure

        return {name: partial(measure, settings.encoder)}
    from xdseg.backbones.clip.probe import probe_names, probe_patches  # imports open_clip

    return {name: partial(probe_patches, settings), f"{name} by name": partial(probe_names, settings)}


def _probed(label: str, measure: Measure, path: Path, targets: Sequence[str]) -> list[dict[str, str]]:
    """Rows of some random initialisations and of the weights; each is printed when it is there, and the gain."""
    found = {}
    for weights, seed in [*((None, seed) for seed in RANDOM_SEEDS), (path, 0)]:
        said = f"random {seed}" if weights is None else "pre-trained"
        found[said] = measure(weights, seed=seed)
        print(f"{label:<20}{said:<14}" + "".join(f"{100 * found[said][key]:8.2f}" for key in targets), flush=True)
    rows = [
        {"encoder": label, "weights": said} | {key: f"{100 * value:.2f}" for key, value in scores.items()}
        for said, scores in found.items()
    ]
    gains = [float(rows[-1][key]) - fmean(float(row[key]) for row in rows[:-1]) for key in targets]
    print(f"{label:<20}{'gain':<14}" + "".join(f"{gain:+8.2f}" for gain in gains), flush=True)
    return rows
