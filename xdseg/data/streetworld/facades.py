"""Houses: fronts in perspective with floors, windows and shops; side walls; roofs.

All fronts lie in the planes X = +-front, so each column of pixels sees one house, at one depth: one pass draws them
all. A side wall is Z = const. Both are computed per pixel from its own metres, label and colour alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xdseg.data.streetworld.camera import NEAR, Camera
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import LAMP_COLOUR, RGB, Light, mix
from xdseg.data.streetworld.plan import GROUND_FLOOR, House
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style
from xdseg.data.streetworld.textures import stripe, stripes

BUILDING = CLASSES.index("building")
PLAIN = 40.0  # m; side walls beyond show no windows
VARIANTS = 8  # a power of two; windows differ in a pattern of 8 x 8, shifted from house to house
EDGE = 0.4  # m of roof seen along a gable
FRAME: RGB = (0.90, 0.88, 0.84)
SUNNY, SHADED, ACROSS = 0.75, 0.12, 0.35  # how the sun meets a front it shines on, one it does not, a side wall


@dataclass(frozen=True)
class Wall:
    """Pixels of a wall in metres. C columns, R rows; `house` names the house of each column."""

    rows: slice
    columns: slice
    house: np.ndarray  # (C,) position in the list of houses
    inside: np.ndarray  # (R, C) bool
    along: np.ndarray  # (1, C), m along the wall
    up: np.ndarray  # (R, C), m above the ground
    pixel_along: np.ndarray  # (1, C), m
    pixel_up: np.ndarray  # (1, C), m
    x: np.ndarray  # (1, C), m
    z: np.ndarray  # (1, C), m
    facing: np.ndarray  # (1, C), how the sun meets it


def window_colours(style: Style[float], light: Light, dice: Dice) -> np.ndarray:
    """What windows show, (VARIANTS, VARIANTS, 4) float32: albedo, and how strongly a lamp shines behind."""
    glass = np.zeros((VARIANTS, VARIANTS, 4), np.float32)
    for cell in np.ndindex(VARIANTS, VARIANTS):
        if dice.chance(style.lit_windows):
            glass[cell] = (*mix(LAMP_COLOUR, (1.0, 0.93, 0.78), dice.unit()), dice.between(0.35, 0.85))
        else:
            glass[cell] = (*mix((0.10, 0.13, 0.17), light.air, dice.between(0.05, 0.45)), 0.0)
    return glass


def paint_houses(
    colours: np.ndarray, labels: np.ndarray, houses: Sequence[House], *, style: Style[float], light: Light,
    camera: Camera, glass: np.ndarray, tile: np.ndarray,
) -> None:  # fmt: skip
    """Draw houses over what lies behind them, in place: roofs and side walls from far to near, then all fronts."""
    for number in sorted(range(len(houses)), key=lambda number: -houses[number].start):
        _roof(colours, labels, houses[number], light=light, camera=camera)
        wall = _side_wall(camera, houses[number]) if houses[number].start < PLAIN else None
        if houses[number].start >= PLAIN:
            _plain_side(colours, labels, houses[number], light=light, camera=camera)
        elif wall is not None:
            _paint(colours, labels, houses[number : number + 1], wall, style=style, light=light, glass=glass, tile=tile)
    fronts = _fronts(camera, houses, light)
    _paint(colours, labels, houses, fronts, style=style, light=light, glass=glass, tile=tile, shops=True)


def _paint(
    colours: np.ndarray, labels: np.ndarray, houses: Sequence[House], wall: Wall, *, style: Style[float], light: Light,
    glass: np.ndarray, tile: np.ndarray, shops: bool = False,
) -> None:  # fmt: skip
    albedo, shine = _pattern(houses, wall, glass, style=style, tile=tile, shops=shops)
    seen = _lit(light, wall, albedo, shine)
    np.copyto(colours[wall.rows, wall.columns], seen, where=wall.inside[..., None])
    labels[wall.rows, wall.columns][wall.inside] = BUILDING


def _fronts(camera: Camera, houses: Sequence[House], light: Light) -> Wall:
    """All fronts in one wall over the whole image."""
    offset = camera.column_centres() - camera.centre  # (1, C), pixels
    offset = np.where(np.abs(offset) < 1e-3, 1e-3, offset)  # the vanishing point itself
    side = np.where(offset < 0.0, -1.0, 1.0)
    x = side * houses[0].front
    z = (x - camera.side) * camera.focal / offset  # (1, C), m
    number = np.full(z.shape[1], -1)
    for position, house in enumerate(houses):
        number[((side == house.side) & (z >= house.start) & (z < house.end))[0]] = position
    height = np.array([house.height for house in houses] + [-1.0])[number]  # the last stands for no house
    facing = np.where(side * light.toward_sun < 0.0, SUNNY, SHADED)
    parts = (z, camera.focal / z, z / np.abs(offset), x, z, facing)
    return _wall(camera, slice(0, camera.columns), number, height[None], *parts)


def _side_wall(camera: Camera, house: House) -> Wall | None:
    """The wall that faces the camera at the house's near end, as far as the neighbour lets it be seen."""
    z = house.start
    if z < NEAR:
        return None
    scale = camera.focal / z
    edges = [
        camera.centre + (house.side * out - camera.side) * scale for out in (house.front, house.front + house.depth)
    ]
    if house.sheltered:
        before = max(z - house.gap, NEAR)
        edges[1] = camera.centre + (house.side * house.front - camera.side) * camera.focal / before
    columns = _span(min(edges), max(edges), camera.columns)
    if columns.start >= columns.stop:
        return None
    x = camera.side + (camera.column_centres()[:, columns] - camera.centre) / scale
    one = np.ones_like(x)
    parts = (np.abs(x), one * scale, one / scale, x, one * z, one * ACROSS)
    return _wall(camera, columns, np.zeros(x.shape[1], np.intp), one * house.height, *parts)


def _plain_side(colours: np.ndarray, labels: np.ndarray, house: House, *, light: Light, camera: Camera) -> None:
    front, back = house.side * house.front, house.side * (house.front + house.depth)
    z, top = house.start, house.height
    outline = [(front, 0.0, z), (front, top, z), (back, top, z), (back, 0.0, z)]
    _fill(colours, labels, camera, outline, light.tone(front, 3.0, z, facing=ACROSS)(house.wall))


def _span(low: float, high: float, size: int) -> slice:
    """The pixels whose centres lie in [low, high)."""
    return slice(max(0, int(np.ceil(low - 0.5))), min(size, int(np.ceil(high - 0.5))))


def _wall(
    camera: Camera, columns: slice, house: np.ndarray, height: np.ndarray, along: np.ndarray, scale: np.ndarray,
    slope: np.ndarray, x: np.ndarray, z: np.ndarray, facing: np.ndarray,
) -> Wall:  # fmt: skip
    """Rows and insides of a wall from its columns; `scale` is in pixels per metre, `slope` metres along per pixel."""
    top = float((camera.horizon + (camera.height - height) * scale).min())
    bottom = float((camera.horizon + camera.height * scale).max())
    rows = _span(top, bottom, camera.rows)
    up = camera.height - (camera.row_centres()[rows] - camera.horizon) / scale  # (R, C)
    inside = (up >= 0.0) & (up < height)
    parts = (part.astype(np.float32) for part in (along, up, slope, 1.0 / scale, x, z, facing))
    return Wall(rows, columns, house, inside, *parts)


def _pattern(
    houses: Sequence[House], wall: Wall, glass: np.ndarray, *, style: Style[float], tile: np.ndarray, shops: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (R, C, 3) and shine (R, C) of plaster, ledges, frames, windows and shops."""

    def each(*names: str) -> list[np.ndarray]:
        """Values (1, C) of each column's house."""
        return [np.array([getattr(house, name) for house in houses], np.float32)[wall.house][None] for name in names]

    bay, floor, wide, tall, height, ground_floor, shift = each(
        "bay", "floor", "window_width", "window_height", "height", "base_height", "start"
    )
    level = (wall.up - ground_floor) / floor
    storey = np.floor(level)
    middle = np.abs(level - storey - 0.5) * floor  # (R, C), m from the middle of the storey
    fits = (wall.up > ground_floor + 0.2) & (wall.up < height - 0.5)

    albedo = _plaster(houses, wall, middle, floor, height, ground_floor, texture=style.texture, tile=tile)
    for margin, strength in ((0.15, 0.5), (0.0, 1.0)):
        across = stripes(wall.along, period=bay, width=wide * bay + 2 * margin, pixel=wall.pixel_along)  # (1, C)
        cover = (
            np.clip((0.5 * tall * floor + margin - middle) / wall.pixel_up + 0.5, 0.0, 1.0) * (across * strength) * fits
        )
        if margin:
            albedo += (np.array(FRAME, np.float32) - albedo) * cover[..., None]
    column = (np.floor(wall.along / bay).astype(np.int32) + shift.astype(np.int32)) & (VARIANTS - 1)
    panes = glass[storey.astype(np.int32) & (VARIANTS - 1), column]  # (R, C, 4)
    albedo += (panes[..., :3] - albedo) * cover[..., None]
    shine = panes[..., 3] * cover
    if shops and any(house.shop for house in houses):
        (shop,) = each("shop")
        _shops(houses, wall, bay, shop, albedo, shine, lit=style.lit_windows)
    return albedo, shine


def _plaster(
    houses: Sequence[House], wall: Wall, middle: np.ndarray, floor: np.ndarray, height: np.ndarray,
    ground_floor: np.ndarray, *, texture: float, tile: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Albedo (R, C, 3) of the wall itself: another stone below, ledges between storeys, a cornice, stains."""
    plain, base = (
        np.array([getattr(house, name) for house in houses], np.float32)[wall.house][None] for name in ("wall", "base")
    )
    rows, columns = (wall.up * 6.0).astype(np.int32) & 255, (wall.along * 6.0).astype(np.int32) & 255
    factor = 1.0 + np.float32(0.06 * texture) * tile[rows, columns]
    factor -= 0.16 * np.clip((middle - 0.5 * floor + 0.09) / wall.pixel_up + 0.5, 0.0, 1.0)
    factor += 0.18 * np.clip((wall.up - height + 0.4) / wall.pixel_up + 0.5, 0.0, 1.0)
    low = (wall.up < np.maximum(ground_floor, 0.7))[..., None]
    return np.where(low, base, plain) * factor[..., None]


def _shops(
    houses: Sequence[House],
    wall: Wall,
    bay: np.ndarray,
    shop: np.ndarray,
    albedo: np.ndarray,
    shine: np.ndarray,
    *,
    lit: float,
) -> None:
    """Shop windows under an awning, in place, on the columns of houses with a shop."""
    if wall.up.min() > GROUND_FLOOR:
        return
    pane = shop * stripes(wall.along, period=2 * bay, width=1.6 * bay, pixel=wall.pixel_along)
    pane = pane * stripe(wall.up, centre=1.5, width=2.0, pixel=wall.pixel_up)
    inner = np.array((1.0, 0.86, 0.62) if lit else (0.20, 0.21, 0.24), np.float32)
    albedo += (inner - albedo) * pane[..., None]
    shine += pane * (0.6 if lit > 0.2 else 0.25 if lit else 0.0)
    cloth = np.array([house.awning for house in houses], np.float32)[wall.house][None]
    awning = shop * stripe(wall.up, centre=2.95, width=0.55, pixel=wall.pixel_up)
    albedo += (cloth - albedo) * awning[..., None]


def _lit(light: Light, wall: Wall, albedo: np.ndarray, shine: np.ndarray) -> np.ndarray:
    """What the camera sees of a wall, (R, C, 3)."""
    sky, sun, air = (np.array(c, np.float32) for c in (light.sky, light.sun, light.air))
    gain = sky + sun * wall.facing[..., None]  # (1, C, 3)
    if light.lamps:
        lamp = light.lamplight(wall.x, wall.up, wall.z) + shine
        gain = gain + np.array(LAMP_COLOUR, np.float32) * lamp[..., None]
    clear = light.clearness(wall.z)[..., None].astype(np.float32)
    return albedo * (gain * clear) + air * (1.0 - clear)


def _roof(colours: np.ndarray, labels: np.ndarray, house: House, *, light: Light, camera: Camera) -> None:
    """The roof's slope toward the street, and the gable over the near wall."""
    if house.roof < 0.3:
        return
    eave, ridge = house.side * (house.front - 0.3), house.side * (house.front + 0.5 * house.depth)
    back = house.side * (house.front + house.depth)
    low, top = house.height - 0.1, house.height + house.roof
    near, far = max(house.start, NEAR), house.end
    verge = [(eave, low, near), (back, low, near), (ridge, top, near)]
    gable = [(eave, low - EDGE, near), (back, low - EDGE, near), (ridge, top - EDGE, near)]
    slope = [(eave, low, near), (eave, low, far), (ridge, top, far), (ridge, top, near)]
    facing = 0.8 if house.side * light.toward_sun < 0 else 0.35
    for outline, albedo, sun in (
        (slope, house.tiles, facing),
        (verge, house.tiles, ACROSS),
        (gable, house.wall, ACROSS),
    ):
        _fill(colours, labels, camera, outline, light.tone(eave, top, near, facing=sun)(albedo))


def _fill(
    colours: np.ndarray, labels: np.ndarray, camera: Camera, outline: list[tuple[float, float, float]], colour: RGB
) -> None:
    """Fill a convex polygon given in metres: the pixels whose centres lie on one side of all its edges."""
    corners = camera.outline(outline)
    if len(corners) < 3:
        return
    xs, ys = zip(*corners, strict=True)
    columns, rows = _span(min(xs), max(xs), camera.columns), _span(min(ys), max(ys), camera.rows)
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    x, y = camera.column_centres()[:, columns], camera.row_centres()[rows]
    sides = []
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0.0)
    inside = np.logical_and.reduce(sides) | ~np.logical_or.reduce(sides)
    colours[rows, columns][inside] = np.array(colour, np.float32) / 255.0
    labels[rows, columns][inside] = BUILDING
