"""`like: NAME`: a method takes over the settings of another row, a segmenter or adaptation those of another one, a
public suite the domains of another suite.

Where the row names a segmenter, the rows of the other that stand for comparison and start take that segmenter's name:
`floor: source-only` of the row taken over becomes `floor: source-only-eomt`. So only rows of bare names, those of the
default segmenter, are taken over. What a row says itself always counts.
"""

from typing import Any

from xdseg.errors import BadInput, suggest
from xdseg.merging import merge

ROLES = ("host", "floor", "ceiling", "start")


def take_over(methods: Any) -> Any:
    """Definitions of methods by name, as in params.yaml, with every `like` filled in.

    Anything malformed is left for the check of settings to name. Raises BadInput for a row that cannot be taken over.
    """
    if not isinstance(methods, dict):
        return methods
    return {name: _filled(name, own, methods) for name, own in methods.items()}


def _filled(name: str, own: Any, methods: dict[str, Any]) -> Any:
    taken = _taken(name, own, methods, "methods", noun="row")
    if taken is None:
        return own
    segmenter = own.get("segmenter")
    named = {role: f"{taken[role]}-{segmenter}" for role in ROLES if segmenter and taken.get(role)}
    return merge(taken | named, own)


def _taken(name: str, own: Any, entries: dict[str, Any], where: str, *, noun: str = "one") -> dict[str, Any] | None:
    """What an entry is like; None if it is like nothing, or one of the two is no map, which is not told here."""
    if not isinstance(own, dict) or own.get("like") is None:
        return None
    like = own["like"]
    if like not in entries or like == name:
        known = [other for other in entries if other != name]
        raise BadInput(f"params: {where}.{name}.like: unknown {like!r}; {suggest(str(like), known)}")
    taken = entries[like]
    if not isinstance(taken, dict):
        return None
    if taken.get("like") is not None:
        raise BadInput(f"params: {where}.{name}.like: {like} is itself like {taken['like']}; name that {noun}")
    return taken


def take_over_domains(suites: Any) -> Any:
    """Definitions of suites by name, as in params.yaml; a suite with `like` has the domains of that one and its own.

    Anything malformed is left for the check of settings to name. Raises BadInput for a suite that is not there.
    """
    if not isinstance(suites, dict):
        return suites
    return {name: _with_domains(name, own, suites) for name, own in suites.items()}


def _with_domains(name: str, own: Any, suites: dict[str, Any]) -> Any:
    if not isinstance(own, dict) or own.get("like") is None:
        return own
    taken = suites.get(own["like"])
    if not isinstance(taken, dict) or "domains" not in taken or taken.get("like") is not None:
        known = [key for key, suite in suites.items() if isinstance(suite, dict) and "domains" in suite]
        raise BadInput(
            f"params: suites.{name}.like: no suite {own['like']!r} with domains; {suggest(own['like'], known)}"
        )
    return own | {"domains": merge(taken["domains"], own.get("domains") or {})}


def take_over_settings(parts: Any, kind: str) -> Any:
    """Segmenters or adaptations by name, as in params.yaml, with every `like` replaced by what it stands for.

    Maps merge at every depth, and what an entry says itself counts. Anything malformed is left for the check of
    settings to name. Raises BadInput for an entry that is not there, or is itself like another.
    """
    if not isinstance(parts, dict):
        return parts
    return {name: _with_settings(name, own, parts, kind) for name, own in parts.items()}


def _with_settings(name: str, own: Any, parts: dict[str, Any], kind: str) -> Any:
    taken = _taken(name, own, parts, kind)
    return own if taken is None else merge(taken, {key: value for key, value in own.items() if key != "like"})
