"""Trees and bushes."""

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.canvas import Board, Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.light import RGB, Light, hsv, mix
from xdseg.data.streetworld.plan import Thing
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

VEGETATION = CLASSES.index("vegetation")
BARK: RGB = (0.27, 0.20, 0.15)
SNOW: RGB = (0.93, 0.95, 1.0)
SMALL_CROWN = 9.0  # pixels of radius below which a crown has fewer shades
LEAVES_PER_PIXEL = 1.4  # tufts drawn per pixel of a crown's radius


def _green(style: Style[float], dice: Dice, value: float) -> RGB:
    hue = style.foliage_hue + dice.between(-0.03, 0.03)
    return hsv(hue, style.foliage_saturation, style.foliage_value * value)


def paint_tree(canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice) -> None:
    """Draw a broad-leaved tree or a fir, 4 to 8 m tall."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=VEGETATION)
    if dice.chance(style.conifers):
        _fir(board, style, dice, height=dice.between(4.0, 7.5))
        return
    trunk, radius = dice.between(1.9, 2.7), dice.between(1.3, 2.1)
    board.polygon([(-0.17, 0.0), (0.17, 0.0), (0.10, trunk + 0.6), (-0.10, trunk + 0.6)], BARK)
    _crown(board, style, dice, up=trunk + 0.85 * radius, across=radius, tall=radius * dice.between(0.9, 1.3))


def paint_plant(canvas: Canvas, camera: Camera, light: Light, thing: Thing, *, style: Style[float], dice: Dice) -> None:
    """Draw what grows in a garden: a bush, a small tree or a fir."""
    board = Board(canvas, camera, light, x=thing.x, z=thing.z, label=VEGETATION)
    if dice.chance(style.conifers):
        _fir(board, style, dice, height=dice.between(1.8, 5.0))
    else:
        size = dice.between(0.5, 1.1)
        _crown(board, style, dice, up=0.75 * size, across=size, tall=0.85 * size)


def _crown(board: Board, style: Style[float], dice: Dice, *, up: float, across: float, tall: float) -> None:
    """A cloud of tufts: dark ones make the outline, lighter ones lie within it on the sunny and upper side."""
    green = _green(style, dice, dice.between(0.85, 1.15))
    dark = mix(green, (0.0, 0.03, 0.05), 0.35 + 0.15 * min(1.0, style.texture))
    board.disc(0.0, up, 0.82 * across, 0.80 * tall, dark)
    lumps = [(dice.between(-0.72, 0.72), dice.between(-0.68, 0.72), dice.between(0.30, 0.48)) for _ in range(9)]
    for right, rise, size in lumps:
        board.disc(right * across, up + rise * tall, size * across, size * tall, dark)
    top = mix(mix(green, (1.0, 1.0, 0.75), 0.22), SNOW, 0.9 * style.snow_cover)
    shades = ((0.10, 0.82, green), (0.22, 0.55, mix(green, top, 0.6)), (0.32, 0.30, top))
    for shift, shrink, colour in shades if board.scale * across > SMALL_CROWN else shades[:2]:
        for right, rise, size in lumps:
            x, y = right + shift * size * board.sun_side, rise + shift * size
            board.disc(x * across, up + y * tall, shrink * size * across, shrink * size * tall, colour, detail=True)
    _tufts(
        board,
        style,
        dice,
        lumps,
        up=up,
        across=across,
        tall=tall,
        colours=(mix(dark, green, 0.6), mix(green, top, 0.25), mix(green, top, 0.8)),
    )


def _tufts(
    board: Board, style: Style[float], dice: Dice, lumps: list[tuple[float, float, float]], *, up: float, across: float,
    tall: float, colours: tuple[RGB, ...],
) -> None:  # fmt: skip
    """Small leaves' clusters that roughen the crown; left out where the style has no texture."""
    number = min(70, int(LEAVES_PER_PIXEL * board.scale * across * min(1.0, style.texture)))
    for _ in range(number):
        right, rise, size = dice.pick(lumps)
        x, y = right + size * dice.between(-0.62, 0.62), rise + size * dice.between(-0.62, 0.62)
        light = 1 + (y > 0.1) if dice.chance(0.8) else 0
        board.disc(x * across, up + y * tall, 0.055 * across, 0.045 * tall, colours[light], detail=True)


def _fir(board: Board, style: Style[float], dice: Dice, *, height: float) -> None:
    """Tiers of branches, narrower upward, with snow on their tips."""
    green = mix(_green(style, dice, 0.8), (0.05, 0.15, 0.15), 0.25)
    board.box(-0.12, 0.0, 0.12, 0.2 * height, BARK)
    tiers, base = 5, 0.26 * height
    for tier in range(tiers):
        low = (0.10 + 0.17 * tier) * height
        wide, top = base * (1.0 - 0.17 * tier), low + 0.30 * height
        shade = mix(green, (0.0, 0.0, 0.0), 0.30 - 0.06 * tier)
        teeth = [(x * wide, low + (0.035 * height if odd else 0.0)) for x, odd in _TEETH]
        board.polygon([*teeth, (0.06 * wide, top), (-0.06 * wide, top)], shade)
        sun = board.sun_side
        lit = mix(mix(green, (1.0, 1.0, 0.8), 0.15), SNOW, style.snow_cover)
        board.polygon(
            [
                (0.78 * sun * wide, low + 0.05 * height),
                (0.2 * sun * wide, low + 0.08 * height),
                (0.0, top - 0.02 * height),
            ],
            lit,
            detail=True,
        )
        if style.snow_cover:
            board.polygon(
                [
                    (-0.75 * sun * wide, low + 0.05 * height),
                    (-0.45 * sun * wide, low + 0.06 * height),
                    (0.0, top - 0.05 * height),
                ],
                lit,
                detail=True,
            )


_TEETH = [
    (-1.0, False),
    (-0.7, True),
    (-0.4, False),
    (-0.1, True),
    (0.2, False),
    (0.5, True),
    (0.75, False),
    (1.0, True),
]
