"""What a tuning asks of the optimiser: the encoder's rate, tokens without decay, and a decay that is annealed.

As published, the rate is that of all that is tuned of the encoder; annealed is whatever of the network is decayed.
"""

from collections.abc import Iterable, Iterator

from torch import nn

from xdseg.segmenters.tunings.apply import Tuned


def tuned_groups(groups: Iterable[dict], tuned: Tuned) -> list[dict]:
    """Groups of a segmenter whose part `encoder` is the tuned encoder, as the tuning wants them."""
    factor, end = getattr(tuned.settings, "lr_factor", 1.0), getattr(tuned.settings, "weight_decay_end", None)
    parts = [part for group in groups for part in _without_tokens(group, tuned)]
    for part in parts:
        part["lr"] *= factor if part["part"] == "encoder" else 1
        if end is not None and part["weight_decay"]:
            part["weight_decay_end"] = end
    return parts


def _without_tokens(group: dict, tuned: Tuned) -> Iterator[dict]:
    """The group; or what is left of it without tokens that are not decayed, and these as a group of their own."""
    apart = {id(parameter) for parameter in undecayed(tuned)}
    rest = [parameter for parameter in group["params"] if id(parameter) not in apart]
    if rest:
        yield {**group, "params": rest}
    if len(rest) < len(group["params"]):
        tokens = [parameter for parameter in group["params"] if id(parameter) in apart]
        yield {**group, "params": tokens, "name": f"{group['part']}.tokens", "weight_decay": 0.0}


def undecayed(tuned: Tuned) -> list[nn.Parameter]:
    """Parameters of two dimensions and more that weight decay does not reach: Rein's tokens, unless it is to."""
    if tuned.rein is None or tuned.settings.decay_tokens:
        return []
    return [tuned.rein.token_weights, tuned.rein.token_basis]
