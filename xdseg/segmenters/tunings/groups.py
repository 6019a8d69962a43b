"""What a tuning asks of the optimiser: the encoder's rate, tokens without decay, and a decay that is annealed.

As published, the rate is that of all that is tuned of the encoder; annealed is whatever of the network is decayed.
"""

from collections.abc import Iterable, Iterator

from torch import nn

from xdseg.segmenters.tunings.apply import Tuned


def tuned_groups(groups: Iterable[dict], tuned: Tuned, *, undecayed: Iterable[nn.Parameter] = ()) -> list[dict]:
    """Groups of a segmenter whose part `encoder` is the tuned encoder, as the tuning wants them.

    Parameters `undecayed`, and Rein's tokens, are taken out of their groups into one without weight decay.
    """
    factor, end = getattr(tuned.settings, "lr_factor", 1.0), getattr(tuned.settings, "weight_decay_end", None)
    apart = {id(parameter) for parameter in (*undecayed, *_tokens(tuned))}
    parts = [part for group in groups for part in _divided(group, apart)]
    for part in parts:
        part["lr"] *= factor if part["part"] == "encoder" else 1
        if end is not None and part["weight_decay"]:
            part["weight_decay_end"] = end
    return parts


def _divided(group: dict, apart: set[int]) -> Iterator[dict]:
    """A copy of the group, or of what is left of it, and another of those members whose id is in `apart`."""
    rest = [parameter for parameter in group["params"] if id(parameter) not in apart]
    if rest:
        yield {**group, "params": rest}
    if len(rest) < len(group["params"]):
        members = [parameter for parameter in group["params"] if id(parameter) in apart]
        yield {**group, "params": members, "name": f"{group['part']}.undecayed", "weight_decay": 0.0}


def _tokens(tuned: Tuned) -> list[nn.Parameter]:
    """Rein's, unless they are to be decayed."""
    if tuned.rein is None or tuned.settings.decay_tokens:
        return []
    return [tuned.rein.token_weights, tuned.rein.token_basis]
