"""Names in a run's weights: the segmenter's own, and those of what prediction needs of adaptations."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

ADDED = "adaptations."  # prefix of what an adaptation adds: adaptations.KIND.PART.NAME


def added_name(adaptation: str, part: str, name: str) -> str:
    """Under which name a parameter of an adaptation is saved."""
    return f"{ADDED}{adaptation}.{part}.{name}"


def adaptations_in(names: Iterable[str]) -> list[str]:
    """Adaptations that saved something for prediction."""
    return sorted({name.split(".")[1] for name in names if name.startswith(ADDED)})


def own_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """The segmenter's alone."""
    return {name: value for name, value in weights.items() if not name.startswith(ADDED)}


def added_weights(weights: Mapping[str, T], adaptation: str) -> dict[str, T]:
    """An adaptation's, by `part.name`."""
    prefix = f"{ADDED}{adaptation}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
