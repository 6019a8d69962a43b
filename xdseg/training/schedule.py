"""Learning rate over a run: polynomial decay times a linear warm-up, as in mmsegmentation."""

from xdseg.settings.training import Training


def factor(recipe: Training, step: int) -> float:
    """What the peak learning rates are multiplied by at `step`, counted from 0; reaches 0 only after the last step.

    With `poly_steps` it falls as in a longer run that is stopped early (AdaptSegNet, ADVENT).
    """
    value = (1 - step / (recipe.poly_steps or recipe.steps)) ** recipe.poly_power
    warm = recipe.warmup * recipe.steps
    if step < warm:
        value *= 1 - (1 - step / warm) * (1 - recipe.warmup_start)
    return value
