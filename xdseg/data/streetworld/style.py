"""The style of a scene: every continuous thing in which domains differ, as numbers.

No module of the renderer knows the name of a domain: what a domain is, is the intervals that its style is drawn from.
"""

from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from xdseg.data.streetworld.dice import Dice

Interval = tuple[float, float]
"""Lowest and highest value of a uniform draw."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Style(Generic[T]):
    """`Style[Interval]` holds the ranges of a domain, `Style[float]` the values drawn for one scene.

    Lengths are metres; shares and strengths lie in [0, 1] unless another unit stands beside them.
    """

    # camera
    camera_height: T  # m above the road
    focal: T  # focal length, in image widths: 0.5 sees 90 degrees, 1 sees 53
    horizon: T  # row of the horizon, as a share of the image's height from the top
    camera_side: T  # m from the road's middle, to the right

    # light and air
    daylight: T  # light from the whole sky
    sun: T  # light from the sun, which casts shadows
    warmth: T  # of the sunlight: 0 white, 1 orange
    lamps: T  # strength of street lamps and headlights
    lit_windows: T  # share of windows with light inside
    sky_hue: T  # turns of the colour circle
    sky_saturation: T
    sky_value: T
    clouds: T  # share of the sky covered
    fog: T  # extinction, 1/m
    wetness: T  # strength of mirror images on the ground
    rainfall: T  # streaks per 1000 pixels
    snow_cover: T  # share of ground, roofs and branches under snow
    snowfall: T  # flakes per 1000 pixels

    # surfaces
    texture: T  # contrast of asphalt, plaster, grass and leaves
    asphalt: T  # brightness
    facade_hue: T  # turns; each house departs from it a little
    facade_saturation: T
    facade_value: T
    foliage_hue: T  # turns
    foliage_saturation: T
    foliage_value: T
    paint_saturation: T  # of cars and clothes

    # the street's plan
    road_half: T  # m from the middle to the kerb
    verge: T  # m of grass between kerb and sidewalk
    sidewalk: T  # m
    garden: T  # m of lawn between sidewalk and houses
    house_height: T  # m
    house_width: T  # m along the street
    house_gap: T  # m between neighbours
    roof_rise: T  # m from eave to ridge
    window_bay: T  # m from window to window

    # what stands and moves there: mean number per 100 m of street, both sides together
    cars: T
    buses: T
    people: T
    bicycles: T
    street_trees: T
    garden_plants: T
    conifers: T  # share of trees
    fences: T  # share of fronts with a fence
    signs: T
    traffic_lights: T
    umbrellas: T  # share of people

    # the image
    blur: T  # standard deviation, pixels
    noise: T  # standard deviation, in 8-bit levels
    contrast: T  # factor around the middle
    saturation: T  # factor
    vignette: T  # darkening of the corners


def draw(ranges: Style[Interval], dice: Dice) -> Style[float]:
    """One value per interval, uniform and independent, in the order of the fields."""
    return Style(**{field.name: dice.between(*getattr(ranges, field.name)) for field in fields(ranges)})
