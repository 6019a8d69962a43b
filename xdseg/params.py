"""params.yaml, typed: definitions (maps), the grid (lists) and how things run.

Overlays merge as Snakemake's `--configfile` does: maps merge key by key, lists and values replace. A key that does
not exist is refused with the nearest one that does.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError

from xdseg.compatibility import check_methods
from xdseg.errors import BadInput, suggest
from xdseg.likeness import take_over, take_over_domains, take_over_settings
from xdseg.merging import merge
from xdseg.registry import ADAPTATIONS, SEGMENTERS, Registry
from xdseg.settings.backbones import Recipe
from xdseg.settings.base import Settings
from xdseg.settings.evaluation import Inference, Scoring
from xdseg.settings.methods import Grid, Method, Protocol
from xdseg.settings.runtime import Runtime
from xdseg.settings.suites import Suite
from xdseg.settings.training import Augmentation, Training

SLUG = re.compile(r"[a-z0-9]+(?:[+-][a-z0-9]+)*")
NAME = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*")  # of suites, domains, splits: no -- and no +
CONFIG_VARIABLE = "XDSEG_CONFIG"  # file with merged settings, set by the workflow for the commands of its rules


class Params(Settings):
    """The whole of params.yaml."""

    plugins: tuple[str, ...] = Field((), description="modules that register segmenters and adaptations")
    suites: dict[str, Suite]
    segmenters: dict[str, dict[str, Any]] = Field(description="name: {kind: ..., settings}, or {like: name, changes}")
    adaptations: dict[str, dict[str, Any]] = Field({}, description="name: {kind: ..., settings}, or likewise")
    backbones: dict[str, Recipe] = Field({}, description="recipes of small pre-trained encoders")
    methods: dict[str, Method]
    protocols: dict[str, Protocol]
    grid: Grid
    runtime: Runtime = Runtime()
    records: Literal["use", "ignore"] = Field("use", description="ignore: leave the committed records aside")

    def component(self, kind: Literal["segmenters", "adaptations"], name: str) -> tuple[str, Settings]:
        """Registered kind and checked settings of a named segmenter or adaptation."""
        entries = getattr(self, kind)
        if name not in entries:
            raise BadInput(f"params: no {kind[:-1]} is named {name!r}; {suggest(name, entries)}")
        return _component(kind, name, entries[name])


def _component(kind: str, name: str, entry: dict[str, Any]) -> tuple[str, Settings]:
    registry: Registry = {"segmenters": SEGMENTERS, "adaptations": ADAPTATIONS}[kind]
    if "kind" not in entry:
        raise BadInput(f"params: {kind}.{name}: say which kind; {suggest(name, registry)}")
    try:
        declared = registry[entry["kind"]]
    except BadInput as error:
        raise BadInput(f"params: {kind}.{name}.kind: {error}") from None
    settings = {key: value for key, value in entry.items() if key != "kind"}
    return entry["kind"], checked(declared.settings, settings, f"{kind}.{name}")


def checked(model: type[Settings], values: dict[str, Any], where: str) -> Any:
    """Validate `values`; raises BadInput with one clause per fault, each naming its key below `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInput("params: " + "; ".join(_faults(error, model, where))) from None


def _faults(error: ValidationError, model: type[BaseModel], where: str) -> Iterable[str]:
    for fault in error.errors():
        path = _file_keys(fault["loc"])
        key, known = ".".join(filter(None, [where, *path])), fault.get("ctx", {}).get("known")
        if fault["type"] == "extra_forbidden":
            yield f"{key}: no such key; {suggest(path[-1], known or _keys(model, fault['loc'][:-1]))}"
        elif fault["type"] == "unknown_name":
            yield f"{key}: {fault['msg']} {fault['input']!r}; {suggest(fault['input'], known)}"
        else:
            yield f"{key}: {fault['msg'][:1].lower()}{fault['msg'][1:]}, got {_shown(fault['input'])}"


def _file_keys(location: tuple) -> list[str]:
    """pydantic's location without the tag of an entry's kind, which it holds and the file does not."""
    keys = [str(part) for part in location]
    tagged = keys[:1] in (["suites"], ["backbones"]) and len(keys) > len(("suites", "name", "kind"))
    return keys[:2] + keys[3:] if tagged else keys


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 60 else text[:57] + "..."


def _keys(model: type[BaseModel], location: tuple) -> list[str]:
    """Names of the fields that `location` could hold, followed through maps, unions and their tags."""
    models = [model]
    for part in location:
        inner = [m for one in models if part in one.model_fields for m in _models_in(one.model_fields[part].annotation)]
        tagged = [m for m in models if part in get_args(getattr(m.model_fields.get("kind"), "annotation", None))]
        models = inner or tagged or models
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes inside an annotation such as dict[str, A | B]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML map. Raises BadInput naming file and line if it cannot be read."""
    try:
        contents = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(contents, dict):
        raise BadInput(f"{path}: expected a map of settings at the top")
    return contents


def load(overlays: Iterable[Path] = ()) -> Params:
    """The settings in force: what the workflow merged (`$XDSEG_CONFIG`), else params.yaml, under the overlays."""
    base = Path(os.environ.get(CONFIG_VARIABLE) or "params.yaml")
    config = read_yaml(base)
    for overlay in overlays:
        config = merge(config, read_yaml(overlay))
    return parse(config)


def parse(config: dict[str, Any]) -> Params:
    """Check a merged configuration. Raises BadInput that lists every fault."""
    plugins = config.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(module, str) for module in plugins):
        raise BadInput(f"params: plugins: expected a list of modules, got {_shown(plugins)}")
    for module in plugins:
        try:
            import_module(module)
        except Exception as error:  # whatever a module can raise while it is imported
            raise BadInput(f"params: plugins: cannot import {module!r}: {type(error).__name__}: {error}") from None
    config = config | {"methods": take_over(config.get("methods")), "suites": take_over_domains(config.get("suites"))}
    config |= {kind: take_over_settings(config[kind], kind) for kind in ("segmenters", "adaptations") if kind in config}
    params: Params = checked(Params, config, "")
    _check_names(params)
    _check_references(params)
    check_methods(params)
    return params


def _check_names(params: Params) -> None:
    for name in params.methods:
        if not SLUG.fullmatch(name):
            raise BadInput(f"params: methods.{name}: a method is named by [a-z0-9+-], as in dacs+mfm")
    for name in [*params.suites, params.grid.board or params.grid.suite]:
        if not NAME.fullmatch(name):
            raise BadInput(
                f"params: {name!r}: suites and boards are named by letters and digits, with single _ . - between"
            )


def _known(name: str, where: str, known: Iterable[str]) -> None:
    known = list(known)
    if name not in known:
        raise BadInput(f"params: {where}: unknown {name!r}; {suggest(name, known)}")


def _check_references(params: Params) -> None:
    """Every name that stands for a definition has one, whether or not the grid asks for it."""
    for kind in ("segmenters", "adaptations"):
        for name in getattr(params, kind):
            params.component(kind, name)
    _check_recipes(params)
    for name, method in params.methods.items():
        _known(method.segmenter, f"methods.{name}.segmenter", params.segmenters)
        for adaptation in method.adaptations:
            _known(adaptation, f"methods.{name}.adaptations", params.adaptations)
        if len(set(method.adaptations)) < len(method.adaptations):
            raise BadInput(f"params: methods.{name}.adaptations: name each once")
        for role in ("host", "floor", "ceiling", "start"):
            if other := getattr(method, role):
                _known(other, f"methods.{name}.{role}", params.methods)
        _check_starts(params, name)
        _check_recipes(params, name)
    grid = params.grid
    _known(grid.suite, "grid.suite", params.suites)
    _known(grid.protocol, "grid.protocol", params.protocols)
    for where, part in (("grid", grid), *((f"grid.also[{number}]", part) for number, part in enumerate(grid.also))):
        for name in part.methods:
            _known(name, f"{where}.methods", params.methods)
        for key, values in (("methods", part.methods), ("seeds", part.seeds)):
            if values is not None and (not values or len(set(values)) < len(values)):
                raise BadInput(f"params: {where}.{key}: name at least one, and each once")


def _check_starts(params: Params, name: str) -> None:
    """Following `start` must come to an end."""
    chain = [name]
    while following := params.methods[chain[-1]].start:
        if following in chain:
            raise BadInput(f"params: methods.{name}.start: {' -> '.join([*chain, following])} never begins")
        if following not in params.methods:
            return  # reported where that method is checked
        chain.append(following)


def _check_recipes(params: Params, name: str | None = None) -> None:
    """Each protocol is whole by itself, and each method's changes fit each, whether or not the grid asks for both."""
    own = params.methods[name] if name else None
    for key, protocol in params.protocols.items():
        for part, model in (("training", Training), ("augmentation", Augmentation)):
            where = f"methods.{name}.{part}" if name else f"protocols.{key}.{part}"
            checked(model, getattr(protocol, part) | (getattr(own, part) if own else {}), where)
        for part, model in () if name else (("inference", Inference), ("scoring", Scoring)):
            checked(model, getattr(protocol, part), f"protocols.{key}.{part}")


@lru_cache(maxsize=1)
def data_root() -> Path:
    """Folder that relative roots of folder suites lie below: $XDSEG_DATA, else a `shared/data` beside the checkout."""
    return Path(os.environ.get("XDSEG_DATA") or "../shared/data")
