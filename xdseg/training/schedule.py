"""Learning rate over a run: polynomial decay after, or times, a linear warm-up.

The warm-up is mmsegmentation's, or EoMT's in two stages (Kerssies et al., CVPR 2025): new parameters first, then the
pre-trained encoder.
"""

import math
from typing import Literal

from xdseg.settings.training import Training

Part = Literal["encoder", "head"]  # of a method's parameters: pre-trained, or new


def factor(recipe: Training, step: int, *, part: Part = "encoder") -> float:
    """What the peak learning rates of `part` are multiplied by at `step`, counted from 0.

    The fall reaches 0 only after the last step; with `poly_steps` it falls as in a longer run that is stopped early
    (AdaptSegNet, ADVENT). Without `warmup_stages` both parts have the same factor.
    """
    if recipe.warmup_stages is not None:
        return _staged(recipe, step, part)
    value = (1 - step / (recipe.poly_steps or recipe.steps)) ** recipe.poly_power
    warm = recipe.warmup * recipe.steps
    if step < warm:
        value *= 1 - (1 - step / warm) * (1 - recipe.warmup_start)
    return value


def annealed(first: float, last: float, *, step: int, steps: int) -> float:
    """A value that falls, or rises, along half a cosine from `first` at step 0 to `last` after the last step."""
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2


def _staged(recipe: Training, step: int, part: Part) -> float:
    """A rest at 0, a rise from 0, and a fall that begins where the rise ends: two warm-ups are no factor on the fall.

    The very first step is one at rate 0, as published.
    """
    first, second = (round(share * recipe.steps) for share in recipe.warmup_stages)
    rest, rise = (0, first) if part == "head" else (first, second)
    if step < rest:
        return 0.0
    since, whole = step - rest - rise, (recipe.poly_steps or recipe.steps) - rest - rise
    return 1 + since / rise if since < 0 else (1 - since / whole) ** recipe.poly_power
