"""Recipes of pre-trained encoders: fingerprints and where their files lie. Light to import."""

from pathlib import Path
from typing import Any

from xdseg.canonical import fingerprint, short
from xdseg.cells import RESULTS
from xdseg.data.streetworld.settings import VERSION
from xdseg.errors import BadInput, suggest
from xdseg.params import Params
from xdseg.settings.backbones import Backbone
from xdseg.settings.clip import Clip
from xdseg.versions import VERSIONS

COMMITTED = Path("backbones")  # in git: weights and record of each default
MADE = RESULTS / "backbones"
CLIP = "backbones clip"  # the part that has its own version


def recipe(params: Params, name: str) -> Backbone | Clip:
    """The recipe of a name. Raises BadInput for an unknown one."""
    if name not in params.backbones:
        raise BadInput(f"pretrain: no backbone {name!r} in params.yaml; {suggest(name, params.backbones)}")
    return params.backbones[name]


def recipe_fingerprint(settings: Backbone | Clip) -> str:
    """What decides the weights: settings, and versions of the code that draws and trains."""
    versions: dict[str, Any] = {"backbones": VERSIONS["backbones"], "streetworld": VERSION}
    if isinstance(settings, Clip):
        versions |= {CLIP: VERSIONS[CLIP]}
    return fingerprint({"recipe": settings.identity(), "versions": versions})


def record_path(name: str, settings: Backbone | Clip) -> Path:
    """The record that pre-training writes; the weights lie beside it, with the ending of safetensors."""
    return MADE / f"{name}-{short(recipe_fingerprint(settings))}" / f"{name}.json"


def weights_path(record: Path) -> Path:
    """The weights beside a record."""
    return record.with_suffix(".safetensors")
