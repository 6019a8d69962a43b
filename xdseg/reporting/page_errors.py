"""Error maps of panels: where a predicted strip is wrong, made from it and the truth's strip alone.

A pixel is wrong where the score counts it so: as in `xdseg.evaluation.scores`, a truth that is not scored is ignored,
unless the protocol counts what is called a scored class there.
"""

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from xdseg.panels import IGNORED
from xdseg.panels import colours as class_colours

WRONG = (255, 150, 0)  # orange: bright against what is dimmed, and yellower than it to eyes that lack a cone
DIMMED, BLACK = 0.3, 20  # share of a class's colour that a right pixel keeps, and what is added to it
GAP = 4  # transparent rows between a strip and its errors
HOLE = -1  # in place of a colour: transparent
COLOURS = 256  # of a palette


def legend(classes: Sequence[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What the colours mean, as (text, colour of CSS): of error maps, and of the strips above them."""
    dark = (2 * BLACK, 2 * BLACK, 2 * BLACK)  # any class's
    errors = [("wrong", _css(WRONG)), ("right: the class's colour, dimmed", _css(dark)), ("not scored", _css(IGNORED))]
    return errors, [(name, _css(one)) for name, one in zip(classes, class_colours(classes), strict=True)]


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def dimmed(colours: np.ndarray) -> np.ndarray:
    """Colours (..., 3), 0..255, as right pixels show them, uint8."""
    return (BLACK + DIMMED * colours.astype(float)).round().astype(np.uint8)


def error_map(
    predicted: np.ndarray,
    truth: np.ndarray,
    colours: np.ndarray,
    *,
    scored: Collection[int] | None = None,
    counted: bool = False,
) -> np.ndarray:
    """Wrong pixels in `WRONG`, right ones dimmed, those that no score counts in `IGNORED`: (H, W, 3), uint8.

    `predicted` and `truth` are class ids (H, W), 255 where nothing is labelled, `colours` those of the prediction
    (H, W, 3). `scored` are the ids that a score counts, None for all; with `counted` a pixel of another class is wrong
    too where it is called one of them.
    """
    labelled = truth != np.iinfo(truth.dtype).max
    known = labelled if scored is None else labelled & np.isin(truth, list(scored))
    wrong = known & (predicted != truth)
    if counted and scored is not None:
        wrong |= labelled & ~known & np.isin(predicted, list(scored))
    found = np.full((*truth.shape, 3), IGNORED, np.uint8)
    right = known & ~wrong
    found[right] = dimmed(colours[right])
    found[wrong] = WRONG
    return found


def stacked(above: np.ndarray, below: np.ndarray) -> tuple[Image.Image, dict[str, int]]:
    """Two pictures (H, W, 3) of one width with a gap between, in a palette of the colours that occur.

    Returns it and the options with which it is saved. One of more colours than a palette has is RGB, its gap white.
    """
    gap = np.full((GAP, above.shape[1]), HOLE, np.int32)
    values, ids = np.unique(np.concatenate([_packed(above), gap, _packed(below)]), return_inverse=True)
    if len(values) > COLOURS:
        white = np.full((GAP, above.shape[1], 3), 255, np.uint8)
        return Image.fromarray(np.concatenate([above, white, below])), {}
    image = Image.fromarray(ids.reshape(-1, above.shape[1]).astype(np.uint8))
    image.putpalette([part for value in values for part in ((value >> 16) & 255, (value >> 8) & 255, value & 255)])
    return image, {"transparency": 0}  # the hole, which is below all colours


def _packed(colours: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
