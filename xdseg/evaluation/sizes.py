"""How large an image becomes: the arithmetic of sizes, without a framework."""

from xdseg.settings.sizes import Fit, ImageSize, ShortSide

Shape = tuple[int, int]  # height, width, in pixels


def sized(shape: Shape, setting: ImageSize) -> Shape:
    """Height and width that an image of `shape`, (height, width), is resized to.

    `native` leaves it, a pair is taken as it is, a number is the length of the short side, `Fit` is the largest size
    within a box, `ShortSide` a short side with a bound on the long one. All but a pair keep the ratio; no side
    becomes less than a pixel.
    """
    if setting == "native":
        return tuple(shape)
    if isinstance(setting, Fit):
        return _fitted(shape, setting)
    if isinstance(setting, ShortSide):
        return _short_side(shape, setting)
    if isinstance(setting, int):
        return tuple(max(1, round(side * setting / min(shape))) for side in shape)
    return tuple(setting)


def _fitted(shape: Shape, setting: Fit) -> Shape:
    """As mmsegmentation's Resize with keep_ratio: a scale of (1280, 720) makes 1914 x 1052 pixels 1280 x 704."""
    scale = min(max(setting.fit) / max(shape), min(setting.fit) / min(shape))
    return tuple(_rounded(side * scale) for side in shape)


def _short_side(shape: Shape, setting: ShortSide) -> Shape:
    """As detectron2's ResizeShortestEdge, with which HGFormer is evaluated.

    The exact size is bounded, and rounded once, at the end.
    """
    scale = setting.short / min(shape)
    exact = [setting.short if side == min(shape) else scale * side for side in shape]
    if max(exact) > setting.max_long:
        bound = setting.max_long / max(exact)
        exact = [side * bound for side in exact]
    return tuple(_rounded(side) for side in exact)


def _rounded(side: float) -> int:
    return max(1, int(side + 0.5))  # halves go up, where round() takes them to the even number
