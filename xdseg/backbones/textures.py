"""Abstract images with the statistics of none: dead leaves, noise of all scales, gratings. (H, W, 3), uint8 each."""

import numpy as np
from PIL import Image, ImageDraw

from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import hsv

WHITE = 255
LEAVES = 260  # shapes that cover an image several times
SMALLEST, LARGEST = 3.0, 80.0  # radius of a leaf, in pixels
Size = tuple[int, int]  # height, width


def colour(dice: Dice) -> np.ndarray:
    """Any hue, often pale; (3,) float64 in [0, 1]."""
    share = dice.unit()
    return np.array(hsv(dice.unit(), share * share, dice.between(0.1, 1.0)))


def smooth_noise(dice: Dice, size: Size, cells: float) -> np.ndarray:
    """Noise (H, W), float64 in about [0, 1], with `cells` independent values along the longer side."""
    height, width = size
    step = max(height, width) / cells
    coarse = Image.fromarray(dice.texture(int(height / step) + 2, int(width / step) + 2))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / WHITE


def octaves(dice: Dice, size: Size) -> np.ndarray:
    """Noise (H, W) in [0, 1] whose octaves fall off by a factor of its own: soft as clouds or rough as gravel."""
    fall, cells, weight = dice.between(0.4, 0.95), dice.between(2.0, 6.0), 1.0
    total = np.zeros(size)
    while cells < max(size):
        total += weight * smooth_noise(dice, size, cells)
        cells, weight = 2 * cells, weight * fall
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, 1e-9)


def grating(dice: Dice, size: Size) -> np.ndarray:
    """Waves (H, W) in [0, 1] of one direction and length, bent by smooth noise; sharp or soft."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    turn, length = 2 * np.pi * dice.unit(), dice.between(4.0, 48.0)
    phase = (np.cos(turn) * rows + np.sin(turn) * columns) / length
    phase += dice.between(0.0, 1.5) * smooth_noise(dice, size, dice.between(2.0, 6.0))
    return np.clip(0.5 + dice.between(0.5, 3.0) * np.sin(2 * np.pi * phase), 0.0, 1.0)


def coloured(dice: Dice, values: np.ndarray) -> np.ndarray:
    """Values (H, W) in [0, 1] to colours (H, W, 3), uint8, along a line of three colours."""
    stops = np.stack([colour(dice) for _ in range(3)])
    channels = [np.interp(values, (0.0, 0.5, 1.0), stops[:, channel]) for channel in range(3)]
    return (np.stack(channels, axis=-1) * WHITE).astype(np.uint8)


def noise_image(dice: Dice, size: Size) -> np.ndarray:
    """Noise of all scales."""
    return coloured(dice, octaves(dice, size))


def grating_image(dice: Dice, size: Size) -> np.ndarray:
    """Two gratings that share the image along the contours of a noise."""
    first, second = coloured(dice, grating(dice, size)), coloured(dice, grating(dice, size))
    return np.where((octaves(dice, size) > dice.between(0.3, 0.7))[..., None], first, second)


def leaves_image(dice: Dice, size: Size) -> np.ndarray:
    """Dead leaves: shapes of all sizes that hide each other, plain ones and textured ones."""
    height, width = size
    picture = Image.fromarray(noise_image(dice, size))
    fills = [Image.fromarray(make(dice, size)) for make in (noise_image, grating_image)]
    for _ in range(LEAVES):
        radius = 1.0 / dice.between(1.0 / LARGEST, 1.0 / SMALLEST)  # density falls with the square of the radius
        mask = Image.new("1", (width, height))
        ImageDraw.Draw(mask).polygon(_outline(dice, dice.between(0, width), dice.between(0, height), radius), fill=1)
        plain = tuple(int(WHITE * value) for value in colour(dice))
        picture.paste(dice.pick(fills) if dice.chance(0.3) else plain, mask=mask)
    return np.asarray(picture)


def _outline(dice: Dice, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of an irregular triangle to an almost round leaf, longer than wide."""
    corners, turn, flat = dice.pick((3, 4, 5, 16)), 2 * np.pi * dice.unit(), dice.between(0.3, 1.0)
    points = []
    for corner in range(corners):
        angle = 2 * np.pi * (corner + dice.between(-0.2, 0.2)) / corners
        along, across = radius * np.cos(angle), flat * radius * np.sin(angle)
        points.append(
            (x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn))
        )
    return points


TEXTURES = (leaves_image, noise_image, grating_image)
