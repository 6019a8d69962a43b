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
    yield from _start_faults(params, name)


def _start_faults(params: "Params", name: str) -> Iterator[str]:
    """A method starts from another one of the same segmenter, and never, over any number of steps, from itself."""
    chain = [name]
    while start := params.methods[chain[-1]].start:
        if start in chain:
            yield f"start: leads back to {start} ({' from '.join([*chain, start])}); name one that starts by itself"
            return
        chain.append(start)
    if len(chain) > 1 and params.methods[chain[1]].segmenter != params.methods[name].segmenter:
        yield f"start: {chain[1]} has another segmenter, whose weights cannot fit; name one of the same"
