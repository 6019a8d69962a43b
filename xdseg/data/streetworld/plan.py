"""The plan of a street: what stands where, in metres, before any camera looks at it."""

from collections.abc import Iterator
from dataclasses import dataclass

from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import RGB, hsv, mix
from xdseg.data.streetworld.style import Style

END = 120.0  # m; where the street's last house stands
SPAN = 60.0  # m of street, from NEAREST on, in which things stand
NEAREST = 6.0  # m
SNOW: RGB = (0.93, 0.95, 1.0)
GROUND_FLOOR = 3.4  # m; height of a floor with a shop
BEHIND = -6.0  # m; houses begin behind the camera, as wide lenses see fronts at its side


@dataclass(frozen=True)
class House:
    """One house: a box with its front along the street and a roof above."""

    side: int  # -1 left, 1 right
    front: float  # distance of the front from the road's middle, m
    start: float  # Z of the near wall, m
    end: float  # Z of the far wall, m
    height: float  # of the eave, m
    roof: float  # rise of the ridge above the eave, m
    depth: float  # m away from the street
    wall: RGB
    base: RGB  # ground floor
    tiles: RGB
    awning: RGB
    bay: float  # m from window to window
    floor: float  # m from floor to floor
    window_width: float  # share of the bay
    window_height: float  # share of the floor
    shop: bool
    base_height: float  # of the shop or of the plinth, m
    gap: float  # m to the nearer neighbour
    sheltered: bool  # the nearer neighbour is at least as tall


@dataclass(frozen=True)
class Thing:
    """Something that stands on the street: what it is and where."""

    kind: str
    x: float
    z: float


@dataclass(frozen=True)
class Plan:
    """Cross-section (distances from the road's middle, m), houses and things."""

    kerb: float
    verge: float  # outer edge of the strip of grass
    walk: float  # outer edge of the sidewalk
    crossing: tuple[float, float]  # Z of a side street's two kerbs; beyond END where there is none
    houses: tuple[House, ...]
    things: tuple[Thing, ...]
    fenced: tuple[House, ...]


def draw_plan(style: Style[float], dice: Dice) -> Plan:
    """The plan of one scene."""
    kerb, verge = style.road_half, style.road_half + style.verge
    walk = verge + style.sidewalk
    crossing = _crossing(dice)
    houses = tuple(
        house for side in (-1, 1) for house in _houses(style, dice, side=side, front=walk + style.garden, gap=crossing)
    )
    fenced = tuple(house for house in houses if dice.chance(style.fences))
    things = tuple(_things(style, dice, kerb=kerb, verge=verge, walk=walk, crossing=crossing))
    return Plan(kerb, verge, walk, crossing, houses, things, fenced)


def _crossing(dice: Dice) -> tuple[float, float]:
    start = dice.between(16.0, 45.0) if dice.chance(0.6) else 2 * END
    return start, start + dice.between(6.0, 9.0)


def _houses(style: Style[float], dice: Dice, *, side: int, front: float, gap: tuple[float, float]) -> Iterator[House]:
    z = BEHIND - dice.between(0.0, style.house_width)
    before: House | None = None
    while z < END:
        end = z + style.house_width * dice.between(0.8, 1.25)
        if z < gap[1] + 3.0 and end > gap[0] - 3.0:  # the side street and its sidewalks stay free
            end = min(end, gap[0] - 3.0)
        if end - z > 4.0 and end > 1.0:
            before = _house(style, dice, side=side, front=front, start=z, end=end, before=before)
            yield before
        z = max(end + style.house_gap * dice.between(0.3, 1.6), z + 1.0)
        if gap[0] - 7.5 < z < gap[1] + 3.0:
            z = gap[1] + 3.0


def _house(
    style: Style[float], dice: Dice, *, side: int, front: float, start: float, end: float, before: House | None
) -> House:
    hue = style.facade_hue + dice.between(-0.05, 0.05)
    value = style.facade_value * dice.between(0.8, 1.15)
    wall = hsv(hue, style.facade_saturation * dice.between(0.3, 1.5), value)
    tiles = hsv(dice.between(0.0, 0.06), dice.between(0.25, 0.6), dice.between(0.32, 0.52))
    height, roof = style.house_height * dice.between(0.75, 1.25), style.roof_rise * dice.between(0.8, 1.2)
    shop = style.house_height > 8.0 and dice.chance(0.6)
    return House(
        side=side,
        front=front,
        start=start,
        end=end,
        height=height,
        roof=roof,
        depth=dice.between(9.0, 13.0),
        wall=wall,
        base=mix(wall, (0.25, 0.22, 0.20), dice.between(0.1, 0.7)),
        tiles=mix(tiles, SNOW, min(0.95, 1.3 * style.snow_cover)),
        awning=hsv(dice.pick((0.0, 0.08, 0.33, 0.45, 0.6)), dice.between(0.3, 0.8), dice.between(0.35, 0.75)),
        bay=style.window_bay * dice.between(0.9, 1.15),
        floor=dice.between(2.9, 3.5),
        window_width=dice.between(0.36, 0.62),
        window_height=dice.between(0.45, 0.62),
        shop=shop,
        base_height=GROUND_FLOOR if shop else 0.0,
        gap=start - before.end if before else END,
        sheltered=before is not None and before.height >= height + roof,
    )


def _depth(dice: Dice) -> float:
    """Z of a thing: denser nearby, where it is large enough to be seen."""
    share = dice.unit()
    return NEAREST + SPAN * share * (0.25 + 0.75 * share)


def _things(
    style: Style[float], dice: Dice, *, kerb: float, verge: float, walk: float, crossing: tuple[float, float]
) -> Iterator[Thing]:
    share = SPAN / 100.0
    yield from _traffic(style, dice, kerb=kerb, crossing=crossing)
    strip = max(verge - 0.6, kerb + 0.45)  # trees and poles stand in the grass, else just behind the kerb
    for kind, mean, low, high in (
        ("person", style.people, verge + 0.5, walk - 0.3),
        ("bicycle", style.bicycles, walk - 1.0, walk - 0.4),
        ("tree", style.street_trees, strip, strip + 0.2),
        ("sign", style.signs, kerb + 0.4, kerb + 0.7),
        ("signal", style.traffic_lights, kerb + 0.35, kerb + 0.6),
        ("plant", style.garden_plants, walk + 0.5, walk + max(style.garden, 1.0) + 1.5),
    ):
        for _ in range(dice.count(mean * share)):
            yield Thing(kind, dice.pick((-1.0, 1.0)) * dice.between(low, high), _depth(dice))
    yield from _walkers(dice, kerb=kerb, crossing=crossing)


def _walkers(dice: Dice, *, kerb: float, crossing: tuple[float, float]) -> Iterator[Thing]:
    """People who cross the road, at the side street where there is one."""
    z = crossing[0] - 2.6 if crossing[0] < SPAN else dice.between(12.0, 30.0)
    for _ in range(dice.count(1.6)):
        yield Thing("person", dice.between(-kerb, kerb), z + dice.between(-0.8, 0.8))


def _traffic(style: Style[float], dice: Dice, *, kerb: float, crossing: tuple[float, float]) -> Iterator[Thing]:
    """Cars parked at both kerbs and moving in both lanes, buses among the moving ones; no two overlap."""
    lane = 0.5 * (kerb - 2.0)  # the parked cars take two metres
    slots = int(SPAN / 6.2)
    parked = min(0.9, 0.7 * style.cars * SPAN / 100.0 / (2 * slots))
    for side in (-1.0, 1.0):
        shift = dice.between(0.0, 4.0)
        for slot in range(slots):
            z = NEAREST + shift + 6.2 * slot
            if dice.chance(parked) and not crossing[0] - 6.0 < z < crossing[1] + 1.0:
                yield Thing("car", side * (kerb - 1.05), z + dice.between(-0.4, 0.4))
        yield from _lane(style, dice, x=side * lane)


def _lane(style: Style[float], dice: Dice, *, x: float) -> Iterator[Thing]:
    moving = 0.3 * style.cars + style.buses
    bus = style.buses / moving
    z = dice.between(9.0, 20.0)
    while z < NEAREST + SPAN:
        kind = "bus" if dice.chance(bus) else "car"
        yield Thing(kind, x + dice.between(-0.3, 0.3), z)
        z += (16.0 if kind == "bus" else 9.0) + dice.between(0.5, 1.5) * 100.0 / moving
