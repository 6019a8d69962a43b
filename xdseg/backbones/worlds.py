"""Styles of the scenes that encoders learn from: on ten axes outside every domain of streetworld.

An encoder that had seen a domain's look would make that domain an easier target than its distance says. So light,
haze, camera, road and the hues of sky, houses and leaves are drawn from where no domain is; what remains (plan, cars,
people, weather) spans all domains. Each drawn style is checked.
"""

from collections.abc import Iterable
from dataclasses import replace

from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.domains import STYLES
from xdseg.data.streetworld.style import Interval, Style, draw

LENGTHS = ("camera_height", "focal", "horizon", "daylight", "fog", "asphalt", "road_half")
HUES = {"sky_hue": 0.0, "facade_hue": 0.05, "foliage_hue": 0.03}  # and how far one house or plant departs, in turns

LAMPLIT = Style[Interval](
    camera_height=(3.2, 5.0),
    focal=(0.84, 1.10),
    horizon=(0.26, 0.38),
    camera_side=(-2.5, 2.5),
    daylight=(0.16, 0.28),
    sun=(0.0, 0.0),
    warmth=(0.0, 1.0),
    lamps=(1.1, 1.6),
    lit_windows=(0.0, 0.7),
    sky_hue=(0.72, 0.95),
    sky_saturation=(0.1, 0.7),
    sky_value=(0.2, 0.6),
    clouds=(0.0, 1.0),
    fog=(0.018, 0.030),
    wetness=(0.0, 0.6),
    rainfall=(0.0, 2.0),
    snow_cover=(0.0, 0.0),
    snowfall=(0.0, 0.0),
    texture=(0.2, 1.4),
    asphalt=(0.56, 0.75),
    facade_hue=(0.23, 0.31),
    facade_saturation=(0.1, 0.6),
    facade_value=(0.5, 0.95),
    foliage_hue=(0.47, 0.75),
    foliage_saturation=(0.2, 0.7),
    foliage_value=(0.25, 0.6),
    paint_saturation=(0.3, 0.9),
    road_half=(7.4, 10.0),
    verge=(0.0, 3.0),
    sidewalk=(2.0, 5.0),
    garden=(0.0, 6.0),
    house_height=(4.0, 40.0),
    house_width=(8.0, 24.0),
    house_gap=(0.0, 10.0),
    roof_rise=(0.0, 4.5),
    window_bay=(2.0, 4.5),
    cars=(8.0, 24.0),
    buses=(1.0, 3.0),
    people=(20.0, 70.0),
    bicycles=(10.0, 36.0),
    street_trees=(3.0, 12.0),
    garden_plants=(2.0, 22.0),
    conifers=(0.0, 0.8),
    fences=(0.2, 0.9),
    signs=(5.0, 15.0),
    traffic_lights=(3.0, 10.0),
    umbrellas=(0.0, 0.8),
    blur=(0.0, 0.6),
    noise=(0.0, 4.0),
    contrast=(0.9, 1.2),
    saturation=(0.7, 1.3),
    vignette=(0.0, 0.3),
)
"""Under strong lamps and a violet sky, from a high camera with a long lens, over a broad pale road."""

HARD_SUN = replace(
    LAMPLIT,
    focal=(0.30, 0.45),
    sun=(1.0, 1.4),
    lamps=(0.0, 0.0),
    lit_windows=(0.0, 0.2),
    sky_hue=(1.20, 1.44),
    sky_value=(0.6, 1.0),
    fog=(0.018, 0.024),
    asphalt=(0.58, 0.80),
    facade_hue=(0.31, 0.39),
    foliage_hue=(0.75, 0.95),
)
"""A low green sky and hard shadows, through a very wide lens."""

WHITE_HAZE = replace(
    LAMPLIT,
    camera_height=(0.5, 1.1),
    horizon=(0.60, 0.72),
    daylight=(0.97, 1.10),
    lamps=(0.0, 0.4),
    sky_hue=(0.95, 1.20),
    sky_value=(0.7, 1.0),
    fog=(0.022, 0.040),
    rainfall=(0.0, 5.0),
    snow_cover=(0.0, 0.6),
    snowfall=(0.0, 6.0),
    asphalt=(0.12, 0.25),
    facade_hue=(0.23, 0.39),
    foliage_hue=(0.95, 1.17),
    road_half=(2.4, 3.2),
)
"""A lane with red leaves in bright haze, seen from just above the ground."""

WORLDS: tuple[Style[Interval], ...] = (LAMPLIT, HARD_SUN, WHITE_HAZE)


def draw_style(dice: Dice) -> Style[float]:
    """The style of one scene, asserted to be none that a domain could have."""
    style = draw(dice.pick(WORLDS), dice)
    assert_disjoint(style)
    return style


def assert_disjoint(style: Style[float], domains: Iterable[Style[Interval]] = tuple(STYLES.values())) -> None:
    """Raises AssertionError that names the axis if a style shares it with one of the domains."""
    for domain in domains:
        for axis in LENGTHS:
            low, high = getattr(domain, axis)
            if low <= getattr(style, axis) <= high:
                raise AssertionError(f"{axis} {getattr(style, axis):.3f} lies in a domain's {low} to {high}")
        for axis, spread in HUES.items():
            if hue_gap(getattr(style, axis), getattr(domain, axis)) <= 2 * spread:
                raise AssertionError(f"{axis} {getattr(style, axis):.3f} meets a domain's {getattr(domain, axis)}")


def hue_gap(hue: float, interval: Interval) -> float:
    """Turns between a hue and the nearest hue of an interval, on the circle; 0 within."""
    low, high = interval
    above = (hue - low) % 1.0  # turns from the lower end onward
    return max(0.0, min(above - (high - low), 1.0 - above))
