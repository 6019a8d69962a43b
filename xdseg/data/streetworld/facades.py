"""Houses: fronts in perspective with floors, windows and shops; side walls; roofs.

A front is the plane X = const: a column of pixels sees one depth of it. A side wall is Z = const. Both are computed
per pixel from its own metres, label and colour alike.
"""

from dataclasses import dataclass

import numpy as np

from xdseg.data.streetworld.camera import NEAR, Camera
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import LAMP_COLOUR, RGB, Light, mix
from xdseg.data.streetworld.plan import House
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style
from xdseg.data.streetworld.textures import stripe, stripes

BUILDING = CLASSES.index("building")
SHOP_HEIGHT = 3.4  # m
VARIANTS = 8  # windows differ in a pattern of 8 x 8, shifted from house to house
SILL = (0.90, 0.88, 0.84)


@dataclass(frozen=True)
class Wall:
    """The pixels of one wall: `rows` and `columns` of the image, with metres for each."""

    rows: slice
    columns: slice
    inside: np.ndarray  # (R, C) bool
    along: np.ndarray  # (1, C), m along the wall
    up: np.ndarray  # (R, C), m above the ground
    pixel_along: np.ndarray  # (1, C), m
    pixel_up: np.ndarray  # (1, C), m
    x: np.ndarray  # (1, C), m
    z: np.ndarray  # (1, C), m


def window_colours(style: Style[float], light: Light, dice: Dice) -> np.ndarray:
    """What windows show, (VARIANTS, VARIANTS, 4) float32: albedo, and 1 where a lamp shines behind."""
    glass = np.zeros((VARIANTS, VARIANTS, 4), np.float32)
    for cell in np.ndindex(VARIANTS, VARIANTS):
        if dice.chance(style.lit_windows):
            glass[cell] = (*mix(LAMP_COLOUR, (1.0, 0.93, 0.78), dice.unit()), dice.between(0.55, 1.0))
        else:
            glass[cell] = (*mix((0.10, 0.13, 0.17), light.air, dice.between(0.05, 0.45)), 0.0)
    return glass


def paint_house(
    colours: np.ndarray, labels: np.ndarray, house: House, *, style: Style[float], light: Light, camera: Camera,
    glass: np.ndarray, tile: np.ndarray,
) -> None:  # fmt: skip
    """Draw a house over what lies behind it, in place."""
    _roof(colours, labels, house, light=light, camera=camera)
    for wall, facing in (
        (_side_wall(camera, house), 0.35),
        (_front(camera, house), 0.75 if house.side * light.toward_sun < 0 else 0.12),
    ):
        if wall is None or not wall.inside.any():
            continue
        albedo, shine = _pattern(house, wall, glass, style=style, tile=tile, front=wall.x.size == 1 or wall.z.size > 1)
        seen = _lit(light, wall, albedo, shine, facing=facing)
        colours[wall.rows, wall.columns][wall.inside] = seen[wall.inside]
        labels[wall.rows, wall.columns][wall.inside] = BUILDING


def _front(camera: Camera, house: House) -> Wall | None:
    x = house.side * house.front
    reach = abs(x - camera.side) * camera.focal
    near, far = max(house.start, NEAR), max(house.end, NEAR)
    edges = [camera.centre + house.side * reach / z for z in (near, far)]
    columns = _span(min(edges), max(edges), camera.columns)
    if columns.start >= columns.stop or near >= far:
        return None
    offset = camera.column_centres()[:, columns] - camera.centre  # (1, C), pixels
    z = house.side * reach / offset
    scale = camera.focal / z  # (1, C), pixels per metre
    return _wall(camera, columns, house.height, along=z, scale=scale, x=np.array([[x]]), z=z, slope=z / np.abs(offset))


def _side_wall(camera: Camera, house: House) -> Wall | None:
    """The wall that faces the camera at the house's near end."""
    z = house.start
    if z < NEAR:
        return None
    scale = camera.focal / z
    edges = [camera.centre + (house.side * reach - camera.side) * scale for reach in (house.front, house.front + house.depth)]
    columns = _span(min(edges), max(edges), camera.columns)
    if columns.start >= columns.stop:
        return None
    x = camera.side + (camera.column_centres()[:, columns] - camera.centre) / scale
    size = np.full_like(x, scale)
    return _wall(camera, columns, house.height, along=np.abs(x), scale=size, x=x, z=np.array([[z]]), slope=1.0 / size)


def _span(low: float, high: float, size: int) -> slice:
    """The pixels whose centres lie in [low, high)."""
    return slice(max(0, int(np.ceil(low - 0.5))), min(size, int(np.ceil(high - 0.5))))


def _wall(
    camera: Camera, columns: slice, height: float, *, along: np.ndarray, scale: np.ndarray, x: np.ndarray,
    z: np.ndarray, slope: np.ndarray,
) -> Wall:  # fmt: skip
    largest = float(scale.max())
    rows = _span(camera.horizon + (camera.height - height) * largest, camera.horizon + camera.height * largest, camera.rows)
    if height < camera.height:
        rows = _span(camera.horizon, camera.horizon + camera.height * largest, camera.rows)
    up = camera.height - (camera.row_centres()[rows] - camera.horizon) / scale  # (R, C)
    inside = (up >= 0.0) & (up < height)
    parts = (along, up, slope, 1.0 / scale, x, z)
    along, up, slope, pixel, x, z = (part.astype(np.float32) for part in parts)
    return Wall(rows, columns, inside, along, up, slope, pixel, x, z)


def _pattern(
    house: House, wall: Wall, glass: np.ndarray, *, style: Style[float], tile: np.ndarray, front: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (R, C, 3) and shine (R, C) of plaster, windows, ledges and the ground floor."""
    width, tall = house.window
    across = stripes(wall.along, period=house.bay, width=width * house.bay, pixel=wall.pixel_along)  # (1, C)
    first = SHOP_HEIGHT if house.shop else 0.0
    level = wall.up - first
    window = across * stripes(level, period=house.floor, width=tall * house.floor, pixel=wall.pixel_up)  # (R, C)
    window = window * (level > 0.0) * (wall.up < house.height - 0.35)
    albedo = _plaster(house, wall, style=style, tile=tile)
    frame = across_frame(house, wall, level) * (level > 0.0) * (wall.up < house.height - 0.35)
    albedo += (np.array(SILL, np.float32) - albedo) * (0.55 * frame)[..., None]
    panes = _panes(house, wall, level, glass)
    albedo += (panes[..., :3] - albedo) * window[..., None]
    shine = panes[..., 3] * window
    if house.shop and front:
        _shops(house, wall, albedo, shine, lit=style.lit_windows)
    return albedo, shine


def across_frame(house: House, wall: Wall, level: np.ndarray) -> np.ndarray:
    """Coverage (R, C) by light frames around windows, where pixels are small enough to show them."""
    width, tall = house.window
    across = stripes(wall.along, period=house.bay, width=width * house.bay + 0.3, pixel=wall.pixel_along)
    return across * stripes(level, period=house.floor, width=tall * house.floor + 0.35, pixel=wall.pixel_up)


def _plaster(house: House, wall: Wall, *, style: Style[float], tile: np.ndarray) -> np.ndarray:
    """Albedo (R, C, 3) of the wall itself: darker stone below, ledges, a cornice, stains."""
    shape = (*wall.up.shape, 3)
    albedo = np.broadcast_to(np.array(house.wall, np.float32), shape).copy()
    low = (wall.up < (SHOP_HEIGHT if house.shop else 0.7))[..., None]
    albedo = np.where(low, np.array(house.base, np.float32), albedo)
    rows = (wall.up * 6.0).astype(np.int32) & 255
    columns = (wall.along * 6.0).astype(np.int32) & 255
    stain = 1.0 + 0.06 * style.texture * tile[rows, columns]
    ledge = stripes(wall.up - (SHOP_HEIGHT if house.shop else 0.0) + 0.5 * house.floor, period=house.floor, width=0.16, pixel=wall.pixel_up)
    cornice = stripe(wall.up, centre=house.height - 0.2, width=0.4, pixel=wall.pixel_up)
    return albedo * (stain * (1.0 - 0.18 * ledge) * (1.0 + 0.18 * cornice))[..., None]


def _panes(house: House, wall: Wall, level: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """What the window at each pixel shows, (R, C, 4)."""
    shift = int(house.start * 7.0)
    bay = (np.floor(wall.along / house.bay).astype(np.int32) + shift) % VARIANTS
    floor = np.floor(level / house.floor).astype(np.int32) % VARIANTS
    return glass[floor, bay]


def _shops(house: House, wall: Wall, albedo: np.ndarray, shine: np.ndarray, *, lit: float) -> None:
    """Shop windows under an awning in the house's own colour, in place."""
    pane = stripes(wall.along, period=2 * house.bay, width=1.6 * house.bay, pixel=wall.pixel_along)
    pane = pane * stripe(wall.up, centre=1.5, width=2.0, pixel=wall.pixel_up)
    inner = np.array((0.22, 0.22, 0.24) if not lit else (1.0, 0.86, 0.62), np.float32)
    albedo += (inner - albedo) * pane[..., None]
    shine += pane * (0.75 if lit > 0.2 else 0.25 if lit else 0.0)
    awning = stripe(wall.up, centre=2.95, width=0.55, pixel=wall.pixel_up)
    red, green, blue = house.tiles
    cloth = np.array((0.5 + 0.4 * red, green, blue) if int(house.start) % 2 else (blue, 0.45 * red + 0.3, 0.5), np.float32)
    albedo += (cloth - albedo) * awning[..., None]


def _lit(light: Light, wall: Wall, albedo: np.ndarray, shine: np.ndarray, *, facing: float) -> np.ndarray:
    """What the camera sees of a wall, (R, C, 3)."""
    sky, sun, air = (np.array(c, np.float32) for c in (light.sky, light.sun, light.air))
    gain = sky * (0.82 + 0.18 * np.clip(wall.up / 6.0, 0.0, 1.0))[..., None] + sun * np.float32(facing)
    if light.lamps:
        gain = gain + np.array(LAMP_COLOUR, np.float32) * light.lamplight(wall.x, wall.up, wall.z)[..., None]
    if shine.any():
        gain = gain + shine[..., None]
    clear = light.clearness(wall.z)[..., None].astype(np.float32)
    return albedo * gain * clear + air * (1.0 - clear)


def _roof(colours: np.ndarray, labels: np.ndarray, house: House, *, light: Light, camera: Camera) -> None:
    """The roof's slope toward the street, and the gable over the near wall."""
    if house.roof < 0.3:
        return
    eave, ridge = house.side * (house.front - 0.3), house.side * (house.front + 0.5 * house.depth)
    back = house.side * (house.front + house.depth)
    low, top = house.height - 0.1, house.height + house.roof
    near, far = max(house.start, NEAR), house.end
    gable = [(eave, low, near), (back, low, near), (ridge, top, near)]
    slope = [(eave, low, near), (eave, low, far), (ridge, top, far), (ridge, top, near)]
    facing = 0.8 if house.side * light.toward_sun < 0 else 0.35
    for outline, albedo, facing_sun in ((gable, house.wall, 0.35), (slope, house.tiles, facing)):
        _fill(colours, labels, camera, outline, light.tone(eave, top, near, facing=facing_sun)(albedo))


def _fill(
    colours: np.ndarray, labels: np.ndarray, camera: Camera, outline: list[tuple[float, float, float]], colour: RGB
) -> None:
    """Fill a convex polygon given in metres, by its edges' half planes at the pixels' centres."""
    corners = camera.outline(outline)
    if len(corners) < 3:
        return
    xs, ys = zip(*corners, strict=True)
    columns, rows = _span(min(xs), max(xs), camera.columns), _span(min(ys), max(ys), camera.rows)
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    x, y = camera.column_centres()[:, columns], camera.row_centres()[rows]
    turn = np.ones((y.shape[0], x.shape[1]), bool), np.ones((y.shape[0], x.shape[1]), bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        turn[0][side < 0.0] = False
        turn[1][side > 0.0] = False
    inside = turn[0] | turn[1]
    colours[rows, columns][inside] = np.array(colour, np.float32) / 255.0
    labels[rows, columns][inside] = BUILDING
