"""What a steer can ask of one attention: a bias on its logits, or more than that."""

from dataclasses import dataclass

from torch import Tensor

INPUT = "input"  # context of the features that a steer sees: what enters the steered layer, (B, C, h, w)
PREDICT = (
    "predict"  # likewise, at a mask decoder's layers: a function that gives mask and class logits before the layer
)


@dataclass(frozen=True)
class Steering:
    """Parts that are None leave the attention as it is."""

    bias: Tensor | None = None  # added before the softmax, broadcastable to (B, heads, queries, keys)
    opened: Tensor | None = None  # bool, likewise: keys that a query may see though the site's own mask hides them
    values: Tensor | None = None  # (B, heads or 1, keys, 1): factor after the softmax, which is not normalised again
    gate: Tensor | None = None  # (B, queries, 1): factor on rows of the attention's output


def steering_of(found: "Tensor | Steering | None") -> Steering | None:
    """What a steer gave, a bias alone being the plain tensor."""
    return Steering(found) if isinstance(found, Tensor) else found


def together(one: "Tensor | Steering", two: "Tensor | Steering") -> "Tensor | Steering":
    """Two steers at one site: biases are summed, factors multiplied, keys opened by either."""
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one + two
    a, b = steering_of(one), steering_of(two)
    return Steering(
        bias=_joined(a.bias, b.bias, lambda x, y: x + y),
        opened=_joined(a.opened, b.opened, lambda x, y: x | y),
        values=_joined(a.values, b.values, lambda x, y: x * y),
        gate=_joined(a.gate, b.gate, lambda x, y: x * y),
    )


def _joined(one: Tensor | None, two: Tensor | None, join) -> Tensor | None:
    return (two if one is None else one) if one is None or two is None else join(one, two)
