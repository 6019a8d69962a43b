"""The words of captions: nouns of each class, its own name first, and what can be said of light, weather and colour."""

from collections.abc import Iterator, Mapping

from xdseg.data.streetworld.style import Style

STUFF: Mapping[str, tuple[str, ...]] = {
    "road": ("a road", "a street", "drivable ground"),
    "sidewalk": ("a sidewalk", "a pavement", "non-drivable ground"),
    "building": ("a building", "buildings", "a house", "houses", "a far-object"),
    "fence": ("a fence", "a railing", "a roadside-object"),
    "vegetation": ("vegetation", "trees", "a tree", "plants", "a far-object"),
    "terrain": ("terrain", "grass", "a lawn", "non-drivable ground"),
    "sky": ("sky", "the sky"),
}
"""Classes that are not counted."""

THINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pole": (("pole", "poles"), ("post", "posts"), ("roadside-object", "roadside-objects")),
    "traffic light": (("traffic light", "traffic lights"), ("signal", "signals")),
    "traffic sign": (("traffic sign", "traffic signs"), ("sign", "signs"), ("roadside-object", "roadside-objects")),
    "person": (("person", "people"), ("pedestrian", "pedestrians"), ("living being", "living beings")),
    "car": (("car", "cars"), ("vehicle", "vehicles")),
    "bus": (("bus", "buses"), ("vehicle", "vehicles")),
    "bicycle": (("bicycle", "bicycles"), ("bike", "bikes"), ("vehicle", "vehicles")),
}
"""Classes that are counted: one, and more."""

NUMBERS = {1: "a", 2: "two", 3: "three"}
MORE = ("several", "many")
OPENINGS = ("a picture of", "a view of")
MOSTLY = "mostly"
JOINTS = (",", "and")

NIGHT, SUN, DAY, RAIN = ("at night", "under street lamps"), ("in sunlight",), ("by day",), ("in the rain",)
SNOW, FOG, CLOUDS = ("in the snow",), ("in fog", "in haze"), ("under clouds",)
PALE, DARK = "pale", "dark"
HUES = {
    "red": 0.0,
    "orange": 0.08,
    "yellow": 0.16,
    "green": 0.33,
    "teal": 0.5,
    "blue": 0.62,
    "violet": 0.77,
    "pink": 0.9,
}
COLOURED = {"sky": "sky", "building": "facade", "vegetation": "foliage"}  # and their fields in a style
COLOURLESS = 0.3  # saturation below which a colour is not named


def all_phrases() -> Iterator[str]:
    """Every piece that captions are made of."""
    for nouns in STUFF.values():
        yield from nouns
    for pairs in THINGS.values():
        for pair in pairs:
            yield from pair
    yield from (*NUMBERS.values(), *MORE, *OPENINGS, MOSTLY, *JOINTS, *HUES, PALE, DARK)
    for endings in (NIGHT, SUN, DAY, RAIN, SNOW, FOG, CLOUDS):
        yield from endings


def endings(style: Style[float]) -> tuple[str, ...]:
    """What is true of the light and the weather of a scene."""
    said = (
        (style.lamps > 0.5, NIGHT),
        (style.sun > 0.5, SUN),
        (style.daylight > 0.5, DAY),
        (style.rainfall > 1.0, RAIN),
        (max(style.snow_cover / 0.3, style.snowfall) > 1.0, SNOW),
        (style.fog > 0.015, FOG),
        (style.clouds > 0.7, CLOUDS),
    )
    return tuple(phrase for holds, phrases in said if holds for phrase in phrases)


def adjective(name: str, style: Style[float]) -> str | None:
    """The colour of a class in a scene, None where there is nothing to say."""
    if name == "road":
        return PALE if style.asphalt > 0.5 else DARK if style.asphalt < 0.3 else None
    part = COLOURED.get(name)
    if part is None or getattr(style, f"{part}_saturation") < COLOURLESS:
        return None
    return hue_name(getattr(style, f"{part}_hue"))


def hue_name(hue: float) -> str:
    """The nearest named hue on the circle, of any number of turns."""
    return min(HUES, key=lambda name: abs((hue - HUES[name] + 0.5) % 1.0 - 0.5))
