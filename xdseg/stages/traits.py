"""What kind of row a method is: what the page of a board filters by, read from the settings in force."""

from collections.abc import Iterator, Mapping
from typing import Any

from xdseg.params import Params

GENERATED, OTHER, RANDOM = "generated scenes", "published weights", "random weights"
RECONSTRUCTION = "reconstruction"  # word in the note of a row whose paper leaves something open
RECONSTRUCTED = {"tmt"}  # adaptations of such a paper: every row of theirs is one, whatever its own note says


def traits_of(params: Params, method: str) -> dict[str, tuple[str, ...]]:
    """Segmenter, its kind, tuning, adaptations (kinds), pre-training and whether it is a reconstruction."""
    wanted = params.methods[method]
    kind, settings = params.component("segmenters", wanted.segmenter)
    dumped = settings.model_dump(mode="json")
    adaptations = tuple(dict.fromkeys(params.component("adaptations", name)[0] for name in wanted.adaptations))
    rebuilt = RECONSTRUCTION in wanted.note.lower() or not RECONSTRUCTED.isdisjoint(adaptations)
    return {
        "segmenter": (wanted.segmenter,),
        "kind": (kind,),
        "tuning": ((dumped.get("tuning") or {}).get("kind", "full"),),
        "adaptation": adaptations or ("none",),
        "pretraining": (_pretraining(dumped, {f"backbones/{name}.safetensors" for name in params.backbones}),),
        "reconstruction": ("yes" if rebuilt else "no",),
    }


def _pretraining(settings: Mapping[str, Any], generated: set[str]) -> str:
    """Where the weights come from that training begins with, of several the ones from generated scenes."""
    named = [str(value) for value in _weights(settings) if value]
    if generated.intersection(named):
        return GENERATED
    return OTHER if named else RANDOM


def _weights(settings: Mapping[str, Any]) -> Iterator[Any]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _weights(value)
        elif key == "weights":
            yield value
