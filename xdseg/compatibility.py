"""What the parts of a method must agree on, checked when settings are read: before anything is planned or trained."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xdseg.errors import BadInput
from xdseg.registry import ADAPTATIONS

if TYPE_CHECKING:  # params imports this module
    from xdseg.params import Params

GRANTS = {"source": "nothing", "oracle": "nothing", "uda": "images", "finetune": "labels"}  # of the target, per setting
RANKS = ("nothing", "images", "labels")  # each includes those before it


def check_methods(params: "Params") -> None:
    """Raises BadInput with one clause per method whose parts cannot work together."""
    faults = [f"methods.{name}.{fault}" for name in params.methods for fault in method_faults(params, name)]
    if faults:
        raise BadInput("params: " + "; ".join(faults))


def method_faults(params: "Params", name: str) -> Iterator[str]:
    """What is wrong with one method, each as key, finding and mend."""
    method, granted = params.methods[name], GRANTS[params.methods[name].setting]
    kinds = [params.component("adaptations", adaptation)[0] for adaptation in method.adaptations]
    if len(set(kinds)) < len(kinds):
        yield f"adaptations: {', '.join(method.adaptations)}: two of one kind; keep one"
    for adaptation, kind in zip(method.adaptations, kinds, strict=True):
        wanted = ADAPTATIONS[kind].needs_target
        if RANKS.index(wanted) > RANKS.index(granted):
            setting = next(setting for setting, grant in GRANTS.items() if grant == wanted)
            yield f"adaptations: {adaptation} needs the target's {wanted}; choose setting {setting}"
    if method.training.get("supervision") == "target" and granted != "labels":
        yield "training.supervision: target needs the target's labels; choose setting finetune"
    if method.start and params.methods[method.start].segmenter != method.segmenter:
        yield f"start: {method.start} has another segmenter, whose weights cannot fit; name one of the same"
