"""The ground: road with markings, sidewalks, grass, snow, and the shadows that fall on it.

A row of pixels below the horizon sees one depth; the ground is hence computed per pixel from its own X and Z, label
and colour alike.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.canvas import SAMPLES
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import LAMP_COLOUR, Light, hsv
from xdseg.data.streetworld.plan import Plan, Thing
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style
from xdseg.data.streetworld.textures import sample, stripe, stripes

ROAD, SIDEWALK, TERRAIN = (CLASSES.index(name) for name in ("road", "sidewalk", "terrain"))
WHITE = (0.82, 0.82, 0.80)  # worn paint
SNOW = (0.93, 0.95, 1.0)
SIDE_WALK = 2.5  # m; sidewalks along a side street


@dataclass(frozen=True)
class Place:
    """Where the pixels below the horizon meet the ground."""

    x: np.ndarray  # (R, W), m
    z: np.ndarray  # (R, 1), m
    pixel_x: np.ndarray  # (R, 1), m that a pixel spans across
    pixel_z: np.ndarray  # (R, 1), m that a pixel spans along


def place(camera: Camera) -> Place:
    """Metres of all pixel centres below the horizon."""
    below = camera.row_centres()[camera.first_ground_row() :] - camera.horizon  # (R, 1), pixels
    z = camera.focal * camera.height / below
    x = camera.side + (camera.column_centres() - camera.centre) * (z / camera.focal)
    return Place(*(part.astype(np.float32) for part in (x, z, z / camera.focal, z / below)))


def ground_labels(plan: Plan, spot: Place) -> np.ndarray:
    """Class ids (R, W), uint8: road, sidewalk or terrain by the distance from the road's middle."""
    across = np.abs(spot.x)
    labels = np.full(across.shape, TERRAIN, np.uint8)
    labels[(across >= plan.verge) & (across < plan.walk)] = SIDEWALK
    start, end = plan.crossing
    aside = (spot.z >= start - SIDE_WALK) & (spot.z < end + SIDE_WALK)
    labels[aside & (across >= plan.kerb)] = SIDEWALK
    labels[((spot.z >= start) & (spot.z < end)) | (across < plan.kerb)] = ROAD
    return labels


def paint_ground(
    style: Style[float],
    light: Light,
    camera: Camera,
    plan: Plan,
    spot: Place,
    labels: np.ndarray,
    tile: np.ndarray,
    dice: Dice,
) -> np.ndarray:
    """Colours (R, W, 3), float32 in [0, 1], of the ground with its labels (R, W)."""
    albedo = _materials(style, dice)[labels]  # (R, W, 3)
    albedo = albedo * _texture(style, spot, labels, tile)[..., None]
    _blend(albedo, _markings(plan, spot) * (labels == ROAD), WHITE)
    if style.snow_cover:
        _blend(albedo, _snow(style, plan, spot, labels, tile), SNOW)
    shade = _shadows(light, camera, plan) if style.sun else _contacts(camera, plan)
    return _lit(light, camera, spot, albedo, shade)


def _materials(style: Style[float], dice: Dice) -> np.ndarray:
    """Albedo (classes, 3) of road, sidewalk and terrain."""
    colours = np.zeros((len(CLASSES), 3), np.float32)
    colours[ROAD] = hsv(0.62, 0.05, style.asphalt)
    colours[SIDEWALK] = hsv(
        dice.between(0.04, 0.12), dice.between(0.06, 0.18), style.asphalt + dice.between(0.16, 0.26)
    )
    colours[TERRAIN] = hsv(style.foliage_hue - 0.03, 0.9 * style.foliage_saturation, 1.15 * style.foliage_value)
    return colours


def _texture(style: Style[float], spot: Place, labels: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """Factor (R, W) on the albedo: patches, grain near the camera, joints between the sidewalk's slabs."""
    near = np.clip(0.10 / spot.pixel_z, 0.0, 1.0)
    patches = sample(tile, spot.x, spot.z, cells=0.35)
    grain = sample(tile, spot.x, spot.z, cells=3.0) * near
    strength = np.where(labels == TERRAIN, 0.16, 0.05).astype(np.float32) * style.texture
    factor = 1.0 + strength * (patches + 1.3 * grain)
    joints = stripes(spot.z, period=0.9, width=0.06, pixel=spot.pixel_z)
    joints = np.maximum(joints, stripes(spot.x, period=0.9, width=0.05, pixel=spot.pixel_x))
    return factor * np.where(labels == SIDEWALK, 1.0 - 0.30 * joints * np.clip(0.45 / spot.pixel_z, 0, 1), 1.0)


def _markings(plan: Plan, spot: Place) -> np.ndarray:
    """Coverage (R, W) by white paint: a broken middle line, parking lines, a zebra before the side street."""
    start, end = plan.crossing
    middle = stripe(spot.x, centre=0.0, width=0.16, pixel=spot.pixel_x)
    paint = middle * stripes(spot.z, period=6.0, width=3.2, pixel=spot.pixel_z)
    across = np.abs(spot.x)
    parking = stripe(across, centre=plan.kerb - 2.1, width=0.10, pixel=spot.pixel_x) * 0.7
    edge = stripe(across, centre=plan.kerb - 0.08, width=0.16, pixel=spot.pixel_x) * 0.6  # the kerb's stone
    paint = np.maximum(paint, np.maximum(parking, edge))
    paint = paint * ~((spot.z > start - 4.4) & (spot.z < end))
    band = stripe(spot.z, centre=start - 2.6, width=2.6, pixel=spot.pixel_z)
    zebra = band * stripes(spot.x, period=1.0, width=0.5, pixel=spot.pixel_x)
    return np.maximum(paint, zebra)


def _snow(style: Style[float], plan: Plan, spot: Place, labels: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """Coverage (R, W): deep on grass, trodden on sidewalks, cleared by wheels on the road."""
    depth = np.choose(labels == TERRAIN, [np.where(labels == SIDEWALK, 0.5, 0.12), 1.1]).astype(np.float32)
    across = np.abs(spot.x)
    drift = np.clip((across - plan.kerb + 1.6) / 1.6, 0.0, 1.0) * (labels == ROAD) * 0.8
    ruts = 0.5 * stripe(across, centre=0.0, width=1.0, pixel=0.7) * (labels == ROAD)
    rough = 0.45 * sample(tile, spot.x, spot.z * 0.35, cells=0.9)
    return np.clip((depth + drift + ruts) * (0.4 + style.snow_cover) + rough * (0.3 + 0.7 * (depth < 1.0)), 0.0, 0.97)


def _blend(albedo: np.ndarray, cover: np.ndarray, colour: tuple[float, float, float]) -> None:
    albedo += (np.array(colour, np.float32) - albedo) * cover[..., None].astype(np.float32)


def _lit(light: Light, camera: Camera, spot: Place, albedo: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """What the camera sees of the ground, behind shadows and air."""
    first = camera.first_ground_row()
    direct, contact = shade[first:, :, 0:1], shade[first:, :, 1:2]
    sky, sun, air = (np.array(c, np.float32) for c in (light.sky, light.sun, light.air))
    gain = (sky + sun * (0.75 * (1.0 - direct))) * (1.0 - contact)
    if light.lamps:
        lamp = light.lamplight(spot.x, 0.0, spot.z)[..., None]
        gain = gain + np.array(LAMP_COLOUR, np.float32) * (lamp * (1.0 - 0.7 * contact))
    clear = light.clearness(spot.z)[..., None].astype(np.float32)
    return albedo * gain * clear + air * (1.0 - clear)


CONTACT = {"car": (0.95, 4.4), "bus": (1.35, 11.2), "person": (0.3, 0.3), "bicycle": (0.5, 0.3), "tree": (0.6, 0.7)}
"""Half width and length in metres of the dark patch under a thing."""


def _contacts(camera: Camera, plan: Plan) -> np.ndarray:
    """Share of light taken away (H, W, 2), float32: by shadows of the sun (none here), and under things."""
    return _shade(camera, [], [_patch(thing) for thing in plan.things if thing.kind in CONTACT])


def _patch(thing: Thing) -> list[tuple[float, float, float]]:
    half, length = CONTACT[thing.kind]
    left, right, near, far = thing.x - half, thing.x + half, thing.z - 0.12, thing.z + length
    return [(left, 0.0, near), (right, 0.0, near), (right, 0.0, far), (left, 0.0, far)]


SHADOWS = {
    "car": (0.9, 4.3, 0.0, 1.4), "bus": (1.25, 11.0, 0.0, 3.1), "person": (0.22, 0.15, 0.0, 1.7),
    "tree": (1.5, 0.4, 2.4, 6.0), "sign": (0.25, 0.1, 0.0, 2.6), "signal": (0.12, 0.1, 0.0, 3.4),
}  # fmt: skip
"""Half width, length, bottom and top in metres of what casts a thing's shadow."""


def _shadows(light: Light, camera: Camera, plan: Plan) -> np.ndarray:
    """As `_contacts`, with what houses and things cast."""
    along_x, along_z = light.shadow
    cast = []
    for house in plan.houses:
        top = house.height + house.roof
        x = house.side * house.front
        if x * along_x < 0.0:  # else the shadow falls behind the house
            ends = (house.start, house.end)
            far = [(x + along_x * top, 0.0, z + along_z * top) for z in reversed(ends)]
            cast.append([(x, 0.0, z) for z in ends] + far)
    for thing in plan.things:
        if thing.kind in SHADOWS:
            cast.append(_cast(thing, light.shadow))
    contacts = [_patch(thing) for thing in plan.things if thing.kind in CONTACT]
    return _shade(camera, cast, contacts)


def _cast(thing: Thing, shadow: tuple[float, float]) -> list[tuple[float, float, float]]:
    """Outline on the ground of an upright box's shadow, as a hexagon."""
    half, length, bottom, top = SHADOWS[thing.kind]
    (low_x, low_z), (high_x, high_z) = ((bottom * s for s in shadow), (top * s for s in shadow))
    sign = 1.0 if high_x > low_x else -1.0
    left, right = thing.x - sign * half, thing.x + sign * half
    near, far = thing.z, thing.z + length
    if high_z < low_z:
        near, far = far, near
    corners = [(left, near, 0), (right, near, 0), (right, near, 1), (right, far, 1), (left, far, 1), (left, far, 0)]
    shift = ((low_x, low_z), (high_x, high_z))
    return [(x + shift[end][0], 0.0, z + shift[end][1]) for x, z, end in corners]


def _shade(camera: Camera, cast: list, contacts: list) -> np.ndarray:
    """Draw shadow outlines (lists of points in metres) at three samples per pixel side, and average."""
    size = (camera.columns * SAMPLES, camera.rows * SAMPLES)
    layers = []
    for outlines, strength in ((cast, 200), (contacts, 150)):
        layer = Image.new("L", size)
        paint = ImageDraw.Draw(layer)
        for outline in outlines:
            corners = camera.outline(outline)
            if len(corners) > 2:
                paint.polygon([SAMPLES * value for corner in corners for value in corner], fill=strength)
        layers.append(np.asarray(layer.reduce(SAMPLES)))
    return np.stack(layers, axis=-1).astype(np.float32) / 255.0
