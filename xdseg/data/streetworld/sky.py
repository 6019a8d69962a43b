"""Sky, clouds, and the far end of the street."""

import numpy as np
from PIL import Image

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import LAMP_COLOUR, Light, hsv
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

SKY, BUILDING, VEGETATION = (CLASSES.index(name) for name in ("sky", "building", "vegetation"))
FAR = 190.0  # m; depth of the skyline
OCTAVES = ((7, 4, 0.62), (22, 10, 0.38))  # columns and rows of independent values, and their weight


def paint_sky(style: Style[float], light: Light, camera: Camera, dice: Dice) -> np.ndarray:
    """Colours (H, W, 3), float32 in [0, 1]: a gradient to the horizon, and clouds."""
    top = np.array(hsv(style.sky_hue, style.sky_saturation, 0.88 * style.sky_value), np.float32)
    low = np.array(light.air, np.float32)
    rise = np.clip(1.0 - camera.row_centres() / max(camera.horizon, 1.0), 0.0, 1.0).astype(np.float32)  # (H, 1)
    height = 1.0 - (1.0 - rise) * (1.0 - rise)
    sky = low + (top - low) * height[..., None]  # (H, 1, 3)
    cover = _clouds(style, camera, dice)
    bright = min(1.0, 1.12 * style.sky_value)
    lit = np.array([0.5 * bright + 0.5 * c for c in light.air], np.float32) * (1.0 if style.sky_value > 0.4 else 1.3)
    return sky + (lit - sky) * cover[..., None]  # (H, W, 3)


def _clouds(style: Style[float], camera: Camera, dice: Dice) -> np.ndarray:
    size = (camera.columns, camera.rows)
    total = np.zeros((camera.rows, camera.columns), np.float32)
    for columns, rows, weight in OCTAVES:
        values = Image.fromarray(dice.texture(rows, columns)).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(values).astype(np.float32) * (weight / 255.0)
    return np.clip((total - 0.72 + 0.45 * style.clouds) * 4.0, 0.0, 0.85)


def paint_skyline(
    colours: np.ndarray, labels: np.ndarray, *, style: Style[float], light: Light, camera: Camera, dice: Dice
) -> None:
    """Far houses and trees above the horizon, in place."""
    scale = camera.focal / FAR  # pixels per metre
    towers = _steps(camera.columns, dice, low=0.3 * style.house_height, high=1.1 * style.house_height)
    trees = _bumps(camera.columns, dice, high=9.0)
    above = (camera.horizon - camera.row_centres()) / scale  # (H, 1), m
    green = hsv(style.foliage_hue, style.foliage_saturation, style.foliage_value)
    house = hsv(style.facade_hue, 0.5 * style.facade_saturation, style.facade_value)
    for heights, albedo, label in ((towers, house, BUILDING), (trees, green, VEGETATION)):
        inside = (above > 0.0) & (above < heights)  # (H, W)
        colours[inside] = np.array(light.tone(0.0, 9.0, FAR)(albedo), np.float32) / 255.0
        labels[inside] = label
    if style.lit_windows:
        _far_windows(colours, labels, style=style, camera=camera, dice=dice)


def _far_windows(colours: np.ndarray, labels: np.ndarray, *, style: Style[float], camera: Camera, dice: Dice) -> None:
    first = camera.first_ground_row()
    lit = (dice.texture(camera.rows, camera.columns) < 40.0 * style.lit_windows) & (labels == BUILDING)
    lit[first:] = False
    colours[lit] = np.array(LAMP_COLOUR, np.float32) * 0.6


def _steps(columns: int, dice: Dice, *, low: float, high: float) -> np.ndarray:
    """Heights (1, W) in metres of a row of flat roofs."""
    heights = np.zeros((1, columns), np.float32)
    start = 0
    while start < columns:
        end = start + int(dice.between(0.015, 0.06) * columns) + 1
        heights[0, start:end] = dice.between(low, high)
        start = end
    return heights


def _bumps(columns: int, dice: Dice, *, high: float) -> np.ndarray:
    """Heights (1, W) in metres of a row of crowns."""
    column = np.arange(columns, dtype=np.float32)[None]
    heights = np.zeros((1, columns), np.float32)
    for _ in range(12):
        centre, half = dice.between(0.0, columns), dice.between(0.01, 0.05) * columns
        offset = (column - centre) / half
        heights = np.maximum(heights, dice.between(0.4, 1.0) * high * (1.0 - offset * offset))
    return heights
