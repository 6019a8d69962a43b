"""Cars and buses: bodies with faces in perspective, all aligned with the street."""

from dataclasses import dataclass
from itertools import pairwise

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.canvas import Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import RGB, Light, Tone, hsv, mix
from xdseg.data.streetworld.plan import Thing
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

CAR, BUS = CLASSES.index("car"), CLASSES.index("bus")
GLASS: RGB = (0.10, 0.13, 0.17)
RUBBER: RGB = (0.05, 0.05, 0.06)
WHEEL = [(1.0, 0.0), (0.87, 0.5), (0.5, 0.87), (0.0, 1.0), (-0.5, 0.87), (-0.87, 0.5)]
WHEEL = WHEEL + [(-x, -y) for x, y in WHEEL]  # a circle's outline
Section = list[tuple[float, float]]  # corners (Z from the near end, Y), m

LOWER: Section = [
    (0.0, 0.28),
    (0.0, 0.72),
    (0.12, 0.92),
    (0.9, 0.95),
    (3.1, 0.93),
    (4.1, 0.78),
    (4.3, 0.6),
    (4.3, 0.28),
]
HATCH: Section = [(0.08, 0.92), (0.55, 1.46), (2.2, 1.50), (3.15, 0.92)]
SALOON: Section = [(0.75, 0.93), (1.35, 1.40), (2.5, 1.44), (3.35, 0.92)]
VAN: Section = [(0.02, 0.9), (0.2, 1.95), (3.0, 2.0), (3.9, 0.92)]
LENGTH = 4.3  # m
DETAIL = 7.0  # pixels per metre below which windows and wheels are left out


@dataclass(frozen=True)
class Body:
    """A vehicle in space: maps its own metres to the canvas."""

    canvas: Canvas
    camera: Camera
    light: Light
    x: float
    z: float
    label: int
    length: float
    oncoming: bool

    def face(
        self, points: list[tuple[float, float, float]], colour: tuple[int, int, int], *, detail: bool = False
    ) -> None:
        """Fill a face given by (X from the middle, Y, Z from the tail), m."""
        outline = [(self.x + x, y, self.z + (self.length - z if self.oncoming else z)) for x, y, z in points]
        self.canvas.polygon(self.camera.outline(outline), colour, None if detail else self.label)

    def tone(self, facing: float) -> Tone:
        """Light on a face that the sun meets with `facing`."""
        return self.light.tone(self.x, 0.6, self.z, facing=facing)

    def visible_side(self, half: float) -> float:
        """-1 or 1 for the side wall that the camera sees, 0 if it stands right behind."""
        offset = self.camera.side - self.x
        return 0.0 if abs(offset) < half else 1.0 if offset > 0 else -1.0

    def sunny(self, side: float) -> float:
        """How the sun meets the wall on that side."""
        return 0.8 if side * self.light.toward_sun > 0 else 0.2


def paint_car(canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice) -> None:
    """Draw one car; its make and paint are drawn from the dice."""
    oncoming = thing.x < 0.0
    body = Body(canvas, camera, light, thing.x, thing.z, CAR, LENGTH, oncoming)
    cabin = dice.pick((HATCH, SALOON, HATCH, SALOON, VAN))
    half = dice.between(0.84, 0.92)
    paint = _paint(style, dice)
    fine = camera.focal / thing.z > DETAIL
    side = body.visible_side(half)
    _wheels(body, half, side, (0.78, 3.45), 0.33, fine=fine)
    _shell(body, LOWER, half, half, paint, side)
    _shell(
        body, cabin, half * 0.94, half * 0.78, paint, side, roof=mix(paint, (0.95, 0.96, 1.0), 0.9 * style.snow_cover)
    )
    if fine:
        _windows(body, cabin, half, side, van=cabin is VAN)
        _wheels(body, half, side, (0.78, 3.45), 0.33, fine=fine)
    _end(body, half, lamps=light.lamps)


def _paint(style: Style[float], dice: Dice) -> RGB:
    if dice.chance(0.45):
        return mix((0.06, 0.06, 0.07), (0.88, 0.88, 0.90), dice.pick((0.0, 0.2, 0.5, 0.75, 1.0)))
    return hsv(
        dice.pick((0.0, 0.01, 0.07, 0.13, 0.36, 0.55, 0.6, 0.64)), style.paint_saturation * 1.2, dice.between(0.35, 0.8)
    )


def _shell(
    body: Body, section: Section, low: float, high: float, paint: RGB, side: float, *, roof: RGB | None = None
) -> None:
    """A part of the body between two equal side walls, `low` and `high` half as wide below and above."""
    bottom, top = min(y for _, y in section), max(y for _, y in section)

    def half(y: float) -> float:
        return low + (high - low) * (y - bottom) / (top - bottom)

    ring = list(pairwise(section))
    if body.oncoming:
        ring = ring[::-1]
    for (z0, y0), (z1, y1) in reversed(ring):
        level = abs(z1 - z0) > 2.0 * abs(y1 - y0)
        colour = roof if roof is not None and level else paint
        corners = [(-half(y0), y0, z0), (half(y0), y0, z0), (half(y1), y1, z1), (-half(y1), y1, z1)]
        if _faces_camera(body, z0, y0, z1, y1):
            body.face(corners, body.tone(0.9 if level else 0.4)(colour))
    if side:
        body.face(
            [(side * half(y), y, z) for z, y in section], body.tone(body.sunny(side))(mix(paint, (0.0, 0.0, 0.0), 0.12))
        )


def _faces_camera(body: Body, z0: float, y0: float, z1: float, y1: float) -> bool:
    """Whether the camera sees the outer side of a section's edge (sections run over the top from the tail)."""
    if body.oncoming:
        z0, y0, z1, y1 = body.length - z1, y1, body.length - z0, y0
    toward_z, toward_y = -(body.z + z0), body.camera.height - y0
    return (z1 - z0) * toward_y - (y1 - y0) * toward_z > 0.0


def _windows(body: Body, cabin: Section, half: float, side: float, *, van: bool) -> None:
    (z0, y0), (z1, y1), (z2, y2), (z3, y3) = cabin
    glass = body.tone(0.35)(GLASS)
    shine = body.tone(0.6)(mix(GLASS, body.light.air, 0.35))
    wide, narrow = half * 0.94, half * 0.78
    for (za, ya), (zb, yb), colour in (((z0, y0), (z1, y1), glass), ((z3, y3), (z2, y2), shine)):
        if not _faces_camera(body, *((za, ya, zb, yb) if za < zb else (zb, yb, za, ya))):
            continue
        corners = []
        for share, inset in ((0.18, 0.86), (0.88, 0.88)):
            z, y, w = za + share * (zb - za), ya + share * (yb - ya), (wide + share * (narrow - wide)) * inset
            corners += [(-w, y, z), (w, y, z)] if share < 0.5 else [(w, y, z), (-w, y, z)]
        body.face(corners, colour, detail=True)
    if side and not van:
        _side_windows(body, cabin, wide, narrow, side, glass)


def _side_windows(
    body: Body, cabin: Section, wide: float, narrow: float, side: float, glass: tuple[int, int, int]
) -> None:
    (z0, y0), (z1, y1), (z2, _), (z3, _) = cabin
    middle = 0.5 * (z1 + z2) + 0.1
    low, high = y0 + 0.06, y1 - 0.08
    low_x, high_x = side * (wide - 0.01), side * (narrow + 0.02)
    back, front = z0 + 0.35, z3 - 0.35
    for corners in (
        [(back, low), (middle - 0.06, low), (middle - 0.06, high), (z1 + 0.12, high)],
        [(middle + 0.06, low), (front, low), (z2 - 0.05, high), (middle + 0.06, high)],
    ):
        body.face([(low_x if y == low else high_x, y, z) for z, y in corners], glass, detail=True)


def _wheels(body: Body, half: float, side: float, axles: tuple[float, ...], radius: float, *, fine: bool) -> None:
    """Wheels on the side that is seen, and the tyres' ends below the body."""
    rubber = body.tone(0.2)(RUBBER)
    near = body.length - 0.5 if body.oncoming else 0.5
    for x in (-half + 0.14, half - 0.14):
        body.face([(x - 0.12, 0.0, near), (x + 0.12, 0.0, near), (x + 0.12, 0.4, near), (x - 0.12, 0.4, near)], rubber)
    if not side or not fine:
        return
    rim = body.tone(0.4)((0.55, 0.56, 0.58))
    for axle in axles:
        for size, colour in ((radius, rubber), (0.58 * radius, rim)):
            body.face([(side * (half + 0.01), radius + size * y, axle + size * z) for z, y in WHEEL], colour)


def _end(body: Body, half: float, *, lamps: float) -> None:
    """Lights, bumper and plate on the end that faces the camera."""
    z = LENGTH + 0.01 if body.oncoming else -0.01
    tone = body.tone(0.4)
    body.face(
        [(-half, 0.28, z), (half, 0.28, z), (half, 0.46, z), (-half, 0.46, z)], tone((0.10, 0.10, 0.11)), detail=True
    )
    body.face(
        [(-0.26, 0.46, z), (0.26, 0.46, z), (0.26, 0.58, z), (-0.26, 0.58, z)], tone((0.85, 0.85, 0.8)), detail=True
    )
    colour = (1.0, 0.97, 0.86) if body.oncoming else (0.85, 0.04, 0.03)
    lit = tone.glow(colour) if lamps else tone(colour)
    low, high = (0.5, 0.62) if body.oncoming else (0.6, 0.76)
    for x in (-half + 0.04, half - 0.36):
        body.face([(x, low, z), (x + 0.32, low, z), (x + 0.32, high, z), (x, high, z)], lit, detail=True)


BUS_LENGTH, BUS_HALF, BUS_TOP = 11.0, 1.25, 3.05  # m


def paint_bus(canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice) -> None:
    """Draw one city bus."""
    body = Body(canvas, camera, light, thing.x, thing.z, BUS, BUS_LENGTH, thing.x < 0.0)
    paint = hsv(dice.pick((0.0, 0.12, 0.15, 0.33, 0.58)), 0.55 + 0.4 * style.paint_saturation, dice.between(0.6, 0.85))
    side = body.visible_side(BUS_HALF)
    _wheels(body, BUS_HALF, side, (2.4, 8.2), 0.48, fine=True)
    section: Section = [(0.0, 0.35), (0.0, BUS_TOP), (BUS_LENGTH, BUS_TOP), (BUS_LENGTH, 0.35)]
    _shell(body, section, BUS_HALF, BUS_HALF, paint, side, roof=paint)
    inside = light.lamps > 0.5
    glass = body.tone(0.4).glow((0.66, 0.56, 0.36)) if inside else body.tone(0.4)(mix(GLASS, light.air, 0.15))
    if side:
        _bus_side(body, side, glass)
        _wheels(body, BUS_HALF, side, (2.4, 8.2), 0.48, fine=True)
    _bus_end(body, glass)


def _bus_side(body: Body, side: float, glass: tuple[int, int, int]) -> None:
    x = side * (BUS_HALF + 0.005)
    white = body.tone(body.sunny(side))((0.88, 0.88, 0.86))
    body.face([(x, 0.75, 0.1), (x, 1.05, 0.1), (x, 1.05, 10.9), (x, 0.75, 10.9)], white, detail=True)
    for pane in range(6):
        start = 0.35 + 1.75 * pane
        body.face(
            [(x, 1.45, start), (x, 2.5, start), (x, 2.5, start + 1.55), (x, 1.45, start + 1.55)], glass, detail=True
        )


def _bus_end(body: Body, glass: tuple[int, int, int]) -> None:
    z = BUS_LENGTH + 0.01 if body.oncoming else -0.01
    tone = body.tone(0.4)
    low = 1.05 if body.oncoming else 1.5
    body.face([(-1.08, low, z), (1.08, low, z), (1.0, 2.5, z), (-1.0, 2.5, z)], glass, detail=True)
    body.face([(-0.7, 2.62, z), (0.7, 2.62, z), (0.7, 2.9, z), (-0.7, 2.9, z)], tone((0.04, 0.04, 0.04)), detail=True)
    body.face([(-0.5, 2.7, z), (0.3, 2.7, z), (0.3, 2.82, z), (-0.5, 2.82, z)], tone.glow((1.0, 0.6, 0.1)), detail=True)
    lit = tone.glow((1.0, 0.97, 0.86)) if body.oncoming else tone.glow((0.8, 0.05, 0.04))
    for x in (-1.15, 0.85):
        body.face([(x, 0.55, z), (x + 0.3, 0.55, z), (x + 0.3, 0.75, z), (x, 0.75, z)], lit, detail=True)
