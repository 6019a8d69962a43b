"""`xdseg probe`: do the pre-trained encoders beat random initialisation? A table, on the terminal and as a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from xdseg.backbones.recipes import COMMITTED, recipe
from xdseg.errors import BadInput
from xdseg.files import temporary
from xdseg.params import Params

TABLE = Path("reports/backbones/probe.csv")
RANDOM_SEEDS = (0, 1, 2)


def probe(names: Sequence[str], params: Params, *, out: Path = TABLE) -> None:
    """Probe some encoders of params.yaml, or all. Raises BadInput for one without weights, before any work."""
    recipes = {name: recipe(params, name) for name in names or params.backbones}
    files = {name: COMMITTED / f"{name}.safetensors" for name in recipes}
    for name, path in files.items():
        if not path.is_file():
            raise BadInput(f"{path}: no such file; make it with `xdseg pretrain {name}`")
    from xdseg.backbones.probe import Probe  # imports torch
    from xdseg.backbones.probe import probe as measure
    from xdseg.data.streetworld.settings import Streetworld

    settings, scenes, rows = Probe(), Streetworld(), []
    print(f"{'encoder':<12}{'weights':<14}" + "".join(f"{target:>8}" for target in settings.targets), flush=True)
    for name, path in files.items():
        for weights, seed in [*((None, seed) for seed in RANDOM_SEEDS), (path, 0)]:
            found = measure(recipes[name].encoder, weights, seed=seed, settings=settings, scenes=scenes)
            label = f"random {seed}" if weights is None else "pre-trained"
            rows.append({"encoder": name, "weights": label} | {key: f"{100 * found[key]:.2f}" for key in found})
            print(f"{name:<12}{label:<14}" + "".join(f"{100 * value:8.2f}" for value in found.values()), flush=True)
        drawn = [row for row in rows if row["encoder"] == name]
        gains = [float(drawn[-1][key]) - fmean(float(row[key]) for row in drawn[:-1]) for key in settings.targets]
        print(f"{name:<12}{'gain':<14}" + "".join(f"{gain:+8.2f}" for gain in gains), flush=True)
    with temporary(out) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(f"{out}: written (mIoU in %, linear classifier fitted on {settings.domain})", flush=True)
