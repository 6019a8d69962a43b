"""What comes between the scene and the picture: mirror images on wet ground, glow, rain, snow, and the lens."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import Light
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

GROUND = [CLASSES.index(name) for name in ("road", "sidewalk")]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
RAIN, FLAKE = (205, 212, 222), (250, 251, 255)  # 8-bit RGB
FINE = 2  # samples per pixel side of drops and flakes
MIDDLE = 138.0  # level that a change of contrast leaves
UNIFORM_DEVIATION = 73.9  # standard deviation of uniform values 0 to 255


def finish(
    image: np.ndarray, label: np.ndarray, *, style: Style[float], light: Light, tile: np.ndarray, dice: Dice
) -> np.ndarray:
    """The picture (H, W, 3), uint8, of a dry and clear scene (H, W, 3), uint8; its label stays as it is."""
    if style.wetness:
        image = _mirror(image, label, style.wetness, tile)
    if light.lamps > 0.5:
        image = _glow(image)
    picture = Image.fromarray(image)
    if style.rainfall:
        picture.paste(RAIN, mask=_streaks(picture.size, style.rainfall, dice))
    if style.snowfall:
        picture.paste(FLAKE, mask=_flakes(picture.size, style.snowfall, dice))
    return _lens(picture, style, dice)


def _mirror(image: np.ndarray, label: np.ndarray, wetness: float, tile: np.ndarray) -> np.ndarray:
    """Blend each column's image, turned upside down at the last row above that is no ground, into wet ground."""
    height, width = label.shape
    ground = np.isin(label, GROUND)
    first = int(np.argmax(ground.any(axis=1)))  # nothing above is wet
    rows, ground = np.arange(first, height)[:, None], ground[first:]
    foot = np.maximum.accumulate(np.where(ground, first - 1, rows), axis=0)  # (R, W)
    ripple = tile[(rows * 8) & 255, (np.arange(width) * 3)[None] & 255] > 0.25
    source = np.clip(2 * foot + 1 - rows + ripple, 0, height - 1)
    smeared = Image.fromarray(image).resize((width, height // 4), Image.Resampling.BOX)  # water smears upright
    seen = np.asarray(smeared.resize((width, height), Image.Resampling.BILINEAR))[source, np.arange(width)[None]]
    share = (np.float32(0.75 * wetness) * ground)[..., None]
    mixed = image.copy()
    mixed[first:] = image[first:] * (1.0 - share) + seen * share
    return mixed


def _glow(image: np.ndarray) -> np.ndarray:
    """Spread the light of what is much brighter than the rest."""
    bright = Image.fromarray(image).reduce(2).point([max(0, value - 170) * 2 for value in range(256)] * 3)
    near = bright.filter(ImageFilter.BoxBlur(2)).filter(ImageFilter.BoxBlur(2))
    wide = bright.filter(ImageFilter.BoxBlur(7)).filter(ImageFilter.BoxBlur(6))
    size = (image.shape[1], image.shape[0])
    spread = [np.asarray(layer.resize(size, Image.Resampling.BILINEAR)).astype(np.float32) for layer in (near, wide)]
    return np.clip(image + 0.5 * spread[0] + 0.8 * spread[1], 0.0, 255.0).astype(np.uint8)


def _streaks(size: tuple[int, int], per_thousand: float, dice: Dice) -> Image.Image:
    """Coverage by rain: slanted lines, long where near."""
    width, height = (FINE * side for side in size)
    layer = Image.new("L", (width, height))
    paint = ImageDraw.Draw(layer)
    slant = dice.between(-0.25, 0.25)
    for _ in range(int(per_thousand * size[0] * size[1] / 1000.0)):
        x, y, length = dice.between(0, width), dice.between(-0.1 * height, height), dice.between(0.03, 0.14) * height
        paint.line([x, y, x + slant * length, y + length], fill=int(dice.between(25, 85)))
    return layer.reduce(FINE)


def _flakes(size: tuple[int, int], per_thousand: float, dice: Dice) -> Image.Image:
    """Coverage by falling snow: discs, few of them large."""
    width, height = (FINE * side for side in size)
    layer = Image.new("L", (width, height))
    paint = ImageDraw.Draw(layer)
    for _ in range(int(per_thousand * size[0] * size[1] / 1000.0)):
        x, y, share = dice.between(0, width), dice.between(0, height), dice.unit()
        radius = 0.6 + 2.6 * share * share * share
        paint.ellipse([x - radius, y - radius, x + radius, y + radius], fill=int(dice.between(75, 195)))
    return layer.reduce(FINE)


def _lens(image: Image.Image, style: Style[float], dice: Dice) -> np.ndarray:
    """Saturation, contrast, blur, dark corners and noise of the camera; (H, W, 3), uint8."""
    image = image.convert("RGB", _colour_matrix(style.saturation, style.contrast))
    if style.blur:
        image = image.filter(_blur_kernel(style.blur))
    if not style.vignette and not style.noise:
        return np.asarray(image)
    pixels = np.asarray(image).astype(np.float32)
    if style.vignette:
        y, x = (np.linspace(-1.0, 1.0, size, dtype=np.float32) for size in pixels.shape[:2])
        pixels *= (1.0 - np.float32(0.5 * style.vignette) * ((y * y)[:, None] + x * x))[..., None]
    if style.noise:
        pixels += (dice.texture(*pixels.shape).astype(np.float32) - 127.5) * np.float32(style.noise / UNIFORM_DEVIATION)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _colour_matrix(saturation: float, contrast: float) -> tuple[float, ...]:
    """Rows of Pillow's 3 x 4 colour matrix: away from grey by `saturation`, away from MIDDLE by `contrast`."""
    rows = []
    for channel in range(3):
        weights = [contrast * (1.0 - saturation) * weight for weight in LUMA]
        weights[channel] += contrast * saturation
        rows += [*weights, MIDDLE * (1.0 - contrast)]
    return tuple(rows)


def _blur_kernel(deviation: float) -> ImageFilter.Kernel:
    """A 3 x 3 kernel of this standard deviation (below 0.8 pixels), cheaper than Pillow's general blur."""
    edge = 0.5 * deviation * deviation
    line = (edge, 1.0 - 2.0 * edge, edge)
    return ImageFilter.Kernel((3, 3), [a * b for a in line for b in line], scale=1.0)
