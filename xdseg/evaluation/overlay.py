"""A segmentation to look at: the image tinted with its classes' colours, and below it what they mean."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xdseg.palette import UNTINTED, colours

TINT = 0.55  # share of the class's colour in a pixel
NARROWEST = 480  # pixels; a smaller image is enlarged, as a legend needs room
LETTERS = 55  # that fit below an image; the font grows with it
FONT = (13, 60)  # pixels, least and most
INK, PAPER = (20, 20, 20), (255, 255, 255)


def overlay(image: np.ndarray, ids: np.ndarray, classes: tuple[str, ...]) -> Image.Image:
    """The tinted image over a legend of the classes that occur, with their shares of the pixels.

    `image` (H, W, 3) and `ids` (H, W), uint8. Small images are enlarged by a whole factor.
    """
    factor = -(-NARROWEST // image.shape[1])
    tinted = _enlarged(blend(image, ids, classes), factor) if factor > 1 else blend(image, ids, classes)
    strip = legend(ids, classes, width=tinted.shape[1])
    return Image.fromarray(np.concatenate([tinted, strip]))


def blend(image: np.ndarray, ids: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """The image (H, W, 3) uint8 with each pixel's class mixed in; untinted classes leave it as it is."""
    share = np.array([0 if name in UNTINTED else TINT for name in classes], np.float32)
    mixed = (1 - share)[ids, None] * image + (share[:, None] * colours(classes))[ids]
    return np.rint(mixed).astype(np.uint8)


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def legend(ids: np.ndarray, classes: tuple[str, ...], *, width: int) -> np.ndarray:
    """A strip (h, width, 3) uint8: colour, name and share of each class that occurs, in as many lines as needed."""
    size = min(max(width // LETTERS, FONT[0]), FONT[1])
    font = ImageFont.load_default(size)
    counts = np.bincount(ids.ravel(), minlength=len(classes))
    entries = [(i, f"{name} {_percent(counts[i] / ids.size)}") for i, name in enumerate(classes) if counts[i]]
    places, lines = _places([size * 2 + round(font.getlength(text)) for _, text in entries], size=size, width=width)
    strip = Image.new("RGB", (width, round((1.6 * lines + 0.6) * size)), PAPER)
    pen = ImageDraw.Draw(strip)
    palette = colours(classes)
    for (index, text), (left, line) in zip(entries, places, strict=True):
        top = round((1.6 * line + 0.6) * size)
        fill = PAPER if classes[index] in UNTINTED else tuple(palette[index].tolist())
        pen.rectangle((left, top, left + size, top + size), fill=fill, outline=INK)
        pen.text((left + round(1.5 * size), top + size // 2), text, fill=INK, font=font, anchor="lm")
    return np.array(strip)


def _places(widths: Sequence[int], *, size: int, width: int) -> tuple[list[tuple[int, int]], int]:
    """Where entries of these widths stand, as (left, line), and how many lines they take."""
    places, left, line = [], size, 0
    for needed in widths:
        if left > size and left + needed > width:
            left, line = size, line + 1
        places.append((left, line))
        left += needed + size
    return places, line + 1


def _percent(share: float) -> str:
    return "< 1%" if share < 0.01 else f"{share:.0%}"
