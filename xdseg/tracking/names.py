"""Names and values as MLflow allows them."""

import json
import re
from collections.abc import Iterable
from typing import Any

REFUSED = re.compile(r"[^\w.\- :]")  # in a part of a metric's or parameter's name
KEY, PARAM, TAG = 250, 6000, 8000  # characters at most


def experiment_name(suite: str, version: str) -> str:
    """The experiment of a suite in a version of the benchmark; MLflow's pages show what stands after the slash."""
    return f"xdseg/{suite} {version}"


def tag_key(*parts: str) -> str:
    """A tag's name that MLflow takes."""
    return ".".join(map(_part, parts))[:KEY]


def metric_names(group: str, names: Iterable[str]) -> dict[str, str]:
    """The metric `group/name` for each name, all different. MLflow draws what stands before the last slash together."""
    found: dict[str, str] = {}
    for name in names:
        plain = f"{group}/{_part(name.replace('/', '.'))}"
        unique, number = plain[:KEY], 2
        while unique in found.values():
            unique, number = f"{plain[: KEY - 8]} {number}", number + 1
        found[name] = unique
    return found


def _part(text: str) -> str:
    plain = REFUSED.sub("_", text)
    return plain if plain.strip(".") else "_" * max(len(plain), 1)


def flat_settings(settings: dict[str, Any]) -> dict[str, str]:
    """A record's settings as parameters: `segmenter`, `segmenter.encoder`, `adaptations`, `dacs.alpha`, `training.lr`.

    Values are text: words as they are, everything else as JSON.
    """
    settings = json.loads(json.dumps(settings))
    found: dict[str, Any] = {}
    if segmenter := settings.pop("segmenter", None):
        found |= {"segmenter": segmenter["kind"]} | _below("segmenter", segmenter.get("settings", {}))
    if (adaptations := settings.pop("adaptations", None)) is not None:
        kinds = [adaptation["kind"] for adaptation in adaptations]
        found["adaptations"] = "+".join(kinds) or "none"
        for number, adaptation in enumerate(adaptations):
            name = kinds[number] if kinds.count(kinds[number]) == 1 else f"{kinds[number]}.{number + 1}"
            found |= _below(name, adaptation.get("settings", {}))
    for name, value in settings.items():
        found |= _below(name, value)
    return {_key(name): text(value)[:PARAM] for name, value in found.items()}


def _key(name: str) -> str:
    return ".".join(_part(part) for part in name.split("."))[:KEY]


def _below(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _below(f"{name}.{key}", inner)
    return found


def text(value: Any) -> str:
    """A word as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
