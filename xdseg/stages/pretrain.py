"""`xdseg pretrain NAME`, or the path of its record: models pre-trained on generated images.

A path makes the files in results/, as rules do. A name also makes them the defaults in backbones/, which are committed
and which `weights:` settings name.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xdseg.backbones.recipes import COMMITTED, recipe, recipe_fingerprint, record_path, weights_path
from xdseg.errors import BadInput
from xdseg.files import file_digest, temporary, write_json
from xdseg.params import Params
from xdseg.pretrained import recorded
from xdseg.process import now, provenance, run_lock
from xdseg.settings.backbones import Backbone
from xdseg.settings.clip import Clip


def pretrain(target: str, params: Params) -> None:
    """Make what is not there yet. Raises BadInput for a name or path that the settings do not give."""
    path = Path(target)
    name = path.stem if path.suffix else target
    record = record_path(name, recipe(params, name))
    if path.suffix and path != record:
        raise BadInput(f"{path}: the settings in force give {record}")
    with run_lock(record.parent):
        if not _done(record):
            _make(record, name, params)
        print(f"{record}: {weights_path(record).stat().st_size} bytes of weights", flush=True)
    if not path.suffix:
        _publish(record)


def _done(record: Path) -> bool:
    weights = weights_path(record)
    said = recorded(weights)  # the folder's name holds the recipe, so a record here is the recipe's
    return said is not None and weights.is_file() and file_digest(weights) == said


def _make(record: Path, name: str, params: Params) -> None:
    settings = recipe(params, name)
    fingerprint, started = recipe_fingerprint(settings), now()
    made = _run(settings)(settings, weights_path(record), runtime=params.runtime)
    environment = provenance() | {key: made.pop(key) for key in ("device", "torch")}
    contents = {"name": name, "fingerprint": fingerprint, "recipe": settings.model_dump(mode="json"), **made}
    write_json(record, contents | {"environment": environment | {"started": started, "ended": now()}})


def _run(settings: Backbone | Clip) -> Callable[..., dict[str, Any]]:
    """What trains a recipe of this kind; both import torch, and one of them open_clip."""
    if isinstance(settings, Clip):
        from xdseg.backbones.clip.pretrain import pretrain as run
    else:
        from xdseg.backbones.pretrain import pretrain as run
    return run


def _publish(record: Path) -> None:
    """Weights first: a kill in between leaves a file that its old record refuses, never a wrong fingerprint."""
    for path in (weights_path(record), record):
        with temporary(COMMITTED / path.name) as unfinished:
            shutil.copyfile(path, unfinished)
        print(f"{COMMITTED / path.name}: written", flush=True)
