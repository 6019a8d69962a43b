"""Colours of the page's heat map: two scales that a colour-blind reader can tell apart, and ink that can be read."""

from collections.abc import Callable, Iterable
from math import ceil, floor

import matplotlib
from matplotlib.colors import to_hex

STEP = 10  # the scale of scores spans whole tens of percent
LIGHT, DARK = "#ffffff", "#000000"  # inks; with these, one of the two has a contrast of 4.58 on any background
FEWEST = 1.0  # points that the scale of gains spans at least, to either side
INNER = 0.85  # share of the two-sided scale that is used: its ends are nearly black

Colours = Callable[[float], tuple[str, str]]  # a fraction 0..1 -> background and ink


def score_scale(values: Iterable[float | None]) -> tuple[Colours, float, float]:
    """Colours of scores, and the percentages at the ends of their scale."""
    known = [100 * value for value in values if value is not None] or [0.0]
    low = STEP * floor(min(known) / STEP)
    high = max(low + STEP, STEP * ceil(max(known) / STEP))
    return lambda value: _pair("viridis", (100 * value - low) / (high - low)), low, high


def gain_scale(values: Iterable[float | None]) -> tuple[Colours, float]:
    """Colours of gains, losses brown and gains green, and the points at the end of their scale."""
    high = max([FEWEST, *(abs(100 * value) for value in values if value is not None)])
    return lambda value: _pair("BrBG", 0.5 + 0.5 * INNER * 100 * value / high), high


def _pair(name: str, position: float) -> tuple[str, str]:
    colour = matplotlib.colormaps[name](min(1.0, max(0.0, position)))[:3]
    light = _luminance(colour)
    # contrast of the Web Content Accessibility Guidelines: the ink that differs more
    ink = (
        LIGHT
        if (1.05 / (light + 0.05)) > (light + 0.05) / (_luminance(matplotlib.colors.to_rgb(DARK)) + 0.05)
        else DARK
    )
    return to_hex(colour), ink


def _luminance(colour: Iterable[float]) -> float:
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
