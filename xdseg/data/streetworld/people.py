"""People on foot, with bags and umbrellas, and parked bicycles."""

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.canvas import Board, Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import RGB, Light, hsv, mix
from xdseg.data.streetworld.plan import Thing
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

DETAIL = 8.0  # pixels per metre below which arms, folds and spokes are left out
PERSON, BICYCLE = CLASSES.index("person"), CLASSES.index("bicycle")
SKIN: tuple[RGB, ...] = ((0.87, 0.67, 0.55), (0.76, 0.55, 0.42), (0.55, 0.37, 0.27), (0.35, 0.23, 0.17))
HAIR: tuple[RGB, ...] = ((0.10, 0.08, 0.07), (0.28, 0.18, 0.11), (0.62, 0.47, 0.25), (0.5, 0.48, 0.47))


def _cloth(style: Style[float], dice: Dice, value: float) -> RGB:
    return hsv(dice.unit(), style.paint_saturation * dice.between(0.3, 1.2), value)


def paint_person(
    canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice
) -> None:
    """Draw one walking person of 1.55 to 1.9 m."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=PERSON)
    k = dice.between(0.9, 1.1)  # proportions below are for 1.72 m
    coat, trousers = _cloth(style, dice, dice.between(0.3, 0.85)), _cloth(style, dice, dice.between(0.12, 0.4))
    skin, hair = dice.pick(SKIN), dice.pick(HAIR)
    stride, turn = dice.between(-0.22, 0.22), dice.pick((-1.0, 1.0))
    for sign, shade in ((-1.0, 0.25), (1.0, 0.0)):
        foot, hip, dark = sign * stride, sign * 0.07, mix(trousers, (0.0, 0.0, 0.0), shade)
        knee = 0.5 * (foot + hip) + 0.04 * turn
        leg = [(hip - 0.09, 0.86), (hip + 0.09, 0.86), (knee + 0.075, 0.46), (foot + 0.06, 0.06), (foot - 0.06, 0.06)]
        board.polygon([(x * k, y * k) for x, y in [*leg, (knee - 0.075, 0.46)]], dark)
        board.box((foot - 0.07) * k, 0.0, (foot + 0.07 + 0.06 * turn) * k, 0.08, (0.07, 0.06, 0.06))
    fine = board.scale > DETAIL
    if fine:
        _arms(board, k, coat, skin, stride)
    hem = dice.pick((0.80, 0.80, 0.55))
    torso = [(-0.17, hem), (0.17, hem), (0.20, 1.36), (0.12, 1.46), (-0.12, 1.46), (-0.20, 1.36)]
    board.polygon([(x * k, y * k) for x, y in torso], coat)
    if fine:
        lit = [(x * 0.5 + 0.09 * board.sun_side, y) for x, y in torso]
        board.polygon([(x * k, y * k) for x, y in lit], mix(coat, (1.0, 1.0, 1.0), 0.14), detail=True)
    board.disc(0.0, 1.58 * k, 0.105 * k, 0.145 * k, skin)
    board.disc(-0.02 * turn, 1.65 * k, 0.115 * k, 0.10 * k, hair)
    if dice.chance(0.3):
        board.box(0.16 * k * turn - 0.09, 0.62 * k, 0.16 * k * turn + 0.09, 0.95 * k, _cloth(style, dice, 0.5))
    if dice.chance(style.umbrellas):
        _umbrella(board, k, hsv(dice.unit(), dice.between(0.2, 0.9), dice.between(0.25, 0.75)))


def _arms(board: Board, k: float, coat: RGB, skin: RGB, stride: float) -> None:
    for sign in (-1.0, 1.0):
        hand = sign * 0.24 - 0.6 * sign * stride
        arm = [(sign * 0.14, 1.42), (sign * 0.23, 1.38), (hand + 0.06, 0.85), (hand - 0.06, 0.85)]
        board.polygon([(x * k, y * k) for x, y in arm], mix(coat, (0.0, 0.0, 0.0), 0.18))
        board.disc(hand * k, 0.83 * k, 0.055 * k, 0.06 * k, skin)


def _umbrella(board: Board, k: float, cloth: RGB) -> None:
    board.box(0.14, 1.1 * k, 0.17, 1.95 * k, (0.1, 0.1, 0.1))
    rim, top = 1.72 * k, 2.12 * k
    dome = [
        (-0.42, rim),
        (-0.36, rim + 0.17),
        (-0.15, top - 0.06),
        (0.15, top),
        (0.45, top - 0.06),
        (0.66, rim + 0.17),
        (0.72, rim),
    ]
    board.polygon(dome, cloth)
    board.polygon(
        [(0.15, top), (0.45, top - 0.06), (0.66, rim + 0.17), (0.72, rim), (0.36, rim)],
        mix(cloth, (0, 0, 0), 0.25),
        detail=True,
    )


def paint_bicycle(
    canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice
) -> None:
    """Draw one parked bicycle from the side; its wheels count as closed discs, as annotators draw them."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=BICYCLE)
    frame = hsv(dice.unit(), style.paint_saturation * 1.3, dice.between(0.3, 0.75))
    back, front = -0.53, 0.53
    for hub in (back, front):
        board.disc(hub, 0.35, 0.35, 0.35, (0.06, 0.06, 0.06))
        board.disc(hub, 0.35, 0.28, 0.28, (0.46, 0.46, 0.47))
    pedal, seat, head = (-0.08, 0.30), (-0.22, 0.82), (0.36, 0.84)
    tubes = (
        (pedal, head),
        (seat, head),
        (head, (front, 0.35)),
        ((back, 0.35), seat),
        (pedal, seat),
        ((back, 0.35), pedal),
    )
    for start, end in tubes if board.scale > DETAIL else tubes[:4]:
        _tube(board, start, end, frame)
    board.box(-0.36, 0.88, -0.10, 0.97, (0.08, 0.07, 0.07))
    if board.scale > DETAIL:
        _tube(board, head, (0.33, 1.02), (0.2, 0.2, 0.2))
        _tube(board, (0.20, 1.02), (0.46, 1.05), (0.1, 0.1, 0.1))


def _tube(board: Board, start: tuple[float, float], end: tuple[float, float], colour: RGB) -> None:
    """A straight bar 6 cm thick."""
    (x0, y0), (x1, y1) = start, end
    steep = abs(y1 - y0) > abs(x1 - x0)
    dx, dy = (0.03, 0.0) if steep else (0.0, 0.03)
    board.polygon([(x0 - dx, y0 - dy), (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy)], colour)
