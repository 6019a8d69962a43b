"""What stands at the kerb: lamp posts, signs, traffic lights, and fences before gardens."""

from xdseg.data.streetworld.camera import NEAR, Camera
from xdseg.data.streetworld.canvas import Board, Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import RGB, Light, hsv, mix
from xdseg.data.streetworld.plan import House, Plan, Thing
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

FENCE, POLE, SIGNAL, SIGN = (CLASSES.index(name) for name in ("fence", "pole", "traffic light", "traffic sign"))
STEEL: RGB = (0.42, 0.44, 0.46)
DARK: RGB = (0.13, 0.15, 0.16)
RED: RGB = (0.78, 0.07, 0.08)
BLUE: RGB = (0.08, 0.25, 0.66)
YELLOW: RGB = (0.95, 0.75, 0.08)
WHITE: RGB = (0.93, 0.93, 0.92)


def paint_lamp_post(canvas: Canvas, camera: Camera, light: Light, thing: Thing) -> None:
    """A street lamp 6.4 m tall, its arm over the road."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=POLE)
    toward = -1.0 if thing.x > 0 else 1.0
    board.polygon([(-0.10, 0.0), (0.10, 0.0), (0.06, 6.4), (-0.06, 6.4)], DARK)
    board.box(-0.15, 0.0, 0.15, 0.7, DARK)
    board.polygon([(0.0, 6.2), (1.1 * toward, 6.5), (1.1 * toward, 6.6), (0.0, 6.4)], DARK)
    board.box(1.1 * toward - 0.35, 6.40, 1.1 * toward + 0.35, 6.60, DARK)
    if light.lamps:
        board.lamp(1.1 * toward, 6.38, 0.20, (1.0, 0.9, 0.66))


def paint_sign(canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice) -> None:
    """A post with one or two signs."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=POLE)
    height = dice.between(2.1, 2.6)
    board.box(-0.05, 0.0, 0.05, height + 0.3, STEEL)
    shapes = (_triangle, _round, _parking, _no_entry, _diamond)
    board.label = SIGN
    dice.pick(shapes)(board, height, dice)
    if dice.chance(0.35):
        dice.pick(shapes)(board, height - 0.82, dice)


def _triangle(board: Board, up: float, dice: Dice) -> None:
    board.polygon([(-0.46, up - 0.35), (0.46, up - 0.35), (0.0, up + 0.45)], RED)
    board.polygon([(-0.27, up - 0.24), (0.27, up - 0.24), (0.0, up + 0.22)], WHITE, detail=True)
    board.box(-0.04, up - 0.18, 0.04, up + 0.08, DARK, detail=True)


def _round(board: Board, up: float, dice: Dice) -> None:
    ring, field = dice.pick(((RED, WHITE), (RED, WHITE), (BLUE, BLUE)))
    board.disc(0.0, up, 0.38, 0.38, ring)
    board.disc(0.0, up, 0.27, 0.27, field, detail=True)
    ink = DARK if field is WHITE else WHITE
    board.box(-0.16, up - 0.12, -0.03, up + 0.12, ink, detail=True)
    board.box(0.04, up - 0.12, 0.16, up + 0.12, ink, detail=True)


def _parking(board: Board, up: float, dice: Dice) -> None:
    board.box(-0.34, up - 0.34, 0.34, up + 0.34, WHITE)
    board.box(-0.30, up - 0.30, 0.30, up + 0.30, BLUE, detail=True)
    board.box(-0.14, up - 0.22, -0.04, up + 0.22, WHITE, detail=True)
    board.disc(0.04, up + 0.09, 0.14, 0.14, WHITE, detail=True)
    board.disc(0.03, up + 0.09, 0.06, 0.06, BLUE, detail=True)


def _no_entry(board: Board, up: float, dice: Dice) -> None:
    board.disc(0.0, up, 0.38, 0.38, RED)
    board.box(-0.27, up - 0.07, 0.27, up + 0.07, WHITE, detail=True)


def _diamond(board: Board, up: float, dice: Dice) -> None:
    for size, colour in ((0.46, WHITE), (0.36, YELLOW)):
        board.polygon([(-size, up), (0.0, up - size), (size, up), (0.0, up + size)], colour, detail=size < 0.4)


def paint_signal(
    canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice
) -> None:
    """A traffic light on its post, some with a second one on an arm over the road."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=POLE)
    toward = -1.0 if thing.x > 0 else 1.0
    state = dice.pick((0, 0, 1, 2, 2))
    arm = dice.chance(0.5)
    board.box(-0.08, 0.0, 0.08, 5.6 if arm else 3.2, STEEL)
    if arm:
        board.box(min(0.0, 2.9 * toward), 5.4, max(0.0, 2.9 * toward), 5.55, STEEL)
    board.label = SIGNAL
    _housing(board, 0.0, 2.3, state)
    if arm:
        _housing(board, 2.7 * toward, 4.7, state)


def _housing(board: Board, right: float, bottom: float, state: int) -> None:
    board.box(right - 0.24, bottom, right + 0.24, bottom + 1.18, DARK)
    for number, colour in enumerate(((0.1, 0.95, 0.5), (1.0, 0.7, 0.1), (1.0, 0.12, 0.08))):
        up = bottom + 0.22 + 0.37 * number
        if number == state:
            board.lamp(right, up, 0.155, colour)
        else:
            board.disc(right, up, 0.14, 0.14, mix(DARK, colour, 0.18), detail=True)


def paint_fence(
    canvas: Canvas, camera: Camera, light: Light, plan: Plan, house: House, *, style: Style[float], dice: Dice
) -> None:
    """A fence or railing along the front of a house, at the sidewalk's outer edge, in panels of 2 m."""
    x = house.side * (plan.walk + 0.15)
    height = dice.between(1.0, 1.5)
    wood = dice.chance(0.5)
    panel: RGB = (
        hsv(0.08, dice.between(0.2, 0.45), dice.between(0.45, 0.75))
        if wood
        else mix(DARK, hsv(style.foliage_hue, 0.3, 0.3), 0.5)
    )
    rail = mix(panel, (0.0, 0.0, 0.0), 0.35) if wood else STEEL
    cap = mix(mix(panel, WHITE, 0.25), (0.93, 0.95, 1.0), style.snow_cover)
    z = max(house.start, NEAR)
    while z < min(house.end, 90.0):
        end = min(z + 2.0, house.end)
        tone = light.tone(x, 0.6, z, facing=0.6 if house.side * light.toward_sun < 0 else 0.2)

        def quad(
            start: float, stop: float, low: float, high: float, albedo: RGB, label: int | None = None, tone=tone
        ) -> None:
            outline = [(x, low, start), (x, high, start), (x, high, stop), (x, low, stop)]
            canvas.polygon(camera.outline(outline), tone(albedo), label)

        quad(z, end, 0.0, height, panel, FENCE)
        if z < 22.0:
            for picket in range(1, 8):
                at = z + picket * (end - z) / 8
                quad(at, at + 0.05, 0.1, height - 0.08, rail)
        quad(z, end, height - 0.12, height, cap)
        quad(z, z + 0.12, 0.0, height + 0.1, rail, FENCE)
        z = end
