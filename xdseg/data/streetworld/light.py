"""Light and air: what a surface's own colour becomes where it stands.

Colours are albedos, three numbers in [0, 1]. Only + - * / and comparisons are used, no exponential: these give the
same bytes on every machine.
"""

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.style import Style

RGB = tuple[float, float, float]
Number = TypeVar("Number", float, np.ndarray)

LAMP_COLOUR: RGB = (1.0, 0.88, 0.68)  # warm LED
POOL_RADIUS = 5.0  # m; where a street lamp's light has fallen to a quarter
HEADLIGHT_REACH = 14.0  # m; where the own headlights have fallen to half


def hsv(hue: float, saturation: float, value: float) -> RGB:
    """Albedo from hue (turns, any number), saturation and value (both cut to [0, 1])."""
    return hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """`share` of the second colour, the rest of the first."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))


@dataclass(frozen=True)
class Tone:
    """Light and air at one place: `gain * albedo + veil`, per channel, in 8-bit levels."""

    gain: RGB
    glow_gain: float
    veil: RGB

    def __call__(self, albedo: RGB) -> tuple[int, int, int]:
        """What the camera sees of a surface."""
        (red, green, blue), (r, g, b), (x, y, z) = albedo, self.gain, self.veil
        return min(255, int(red * r + x)), min(255, int(green * g + y)), min(255, int(blue * b + z))

    def glow(self, colour: RGB) -> tuple[int, int, int]:
        """What the camera sees of a lamp, which needs no light from elsewhere."""
        return tuple(min(255, int(c * self.glow_gain + v)) for c, v in zip(colour, self.veil, strict=True))


@dataclass(frozen=True)
class Light:
    """Sky, sun, street lamps, the own headlights, and the air between."""

    sky: RGB
    sun: RGB
    toward_sun: float  # X of the direction to the sun, -1 (left) or 1 (right)
    shadow: tuple[float, float]  # m in X and Z that a shadow moves per metre of height
    air: RGB
    fog: float  # extinction, 1/m
    lamps: float
    lamp_row: float  # distance of the lamp heads from the road's middle, m
    lamp_step: float  # m between lamps along the street
    lamp_phase: float  # Z of one lamp, m
    eye: float  # X of the camera, m

    def clearness(self, z: Number) -> Number:
        """Share of light that reaches the camera from a depth; close to exp(-fog * z)."""
        t = self.fog * z
        return 1.0 / (1.0 + t * (1.0 + t * (0.5 + t / 6.0)))

    def lamplight(self, x: Number, y: Number, z: Number) -> Number:
        """Artificial light at a place, without unit: the street lamps' pools and the own headlights."""
        along = z - self.lamp_phase
        along = along - self.lamp_step * ((along / self.lamp_step + 0.5) // 1)
        across = abs(x) - self.lamp_row
        pool = 1.0 + (across * across + along * along) / (POOL_RADIUS * POOL_RADIUS)
        aside = (x - self.eye) / (1.8 + 0.26 * z)
        reach = z / HEADLIGHT_REACH
        beam = 1.0 / ((1.0 + reach * reach) * (1.0 + aside * aside * aside * aside))
        fall = 1.0 + y * y / 30.0
        return self.lamps * (0.95 / (pool * fall) + 0.16 / fall + 0.55 * beam / (fall * fall))

    def tone(self, x: float, y: float, z: float, *, facing: float = 0.45) -> Tone:
        """Light at a place on a surface that the sun meets with `facing` in [0, 1]."""
        clear = self.clearness(z)
        lamp = self.lamplight(x, y, z) if self.lamps else 0.0
        seen, veil = 255.0 * clear, 255.0 * (1.0 - clear)
        gain = [seen * (s + facing * d + lamp * c) for s, d, c in zip(self.sky, self.sun, LAMP_COLOUR, strict=True)]
        return Tone((gain[0], gain[1], gain[2]), seen, (veil * self.air[0], veil * self.air[1], veil * self.air[2]))


def draw_light(style: Style[float], dice: Dice) -> Light:
    """The light of one scene."""
    sky = mix((1.0, 1.0, 1.0), hsv(style.sky_hue, 1.0, 1.0), 0.22 * style.sky_saturation)
    sun = mix((1.0, 1.0, 0.97), (1.0, 0.76, 0.46), style.warmth)
    horizon = hsv(style.sky_hue, 0.45 * style.sky_saturation, style.sky_value)
    side = dice.pick((-1.0, 1.0))
    return Light(
        sky=tuple(style.daylight * c for c in sky),
        sun=tuple(style.sun * c for c in sun),
        toward_sun=side,
        shadow=(-side * dice.between(0.35, 0.9), dice.between(-0.45, 0.45)),
        air=mix(horizon, LAMP_COLOUR, min(0.2, 0.10 * style.lamps)),
        fog=style.fog,
        lamps=style.lamps,
        lamp_row=style.road_half - 0.6,
        lamp_step=dice.between(17.0, 24.0),
        lamp_phase=dice.between(6.0, 24.0),
        eye=style.camera_side,
    )
