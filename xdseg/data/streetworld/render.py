"""One scene of streetworld: image and label."""

import numpy as np

from xdseg.data.streetworld.camera import Camera
from xdseg.data.streetworld.canvas import Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.domains import dice, draw_style
from xdseg.data.streetworld.facades import paint_houses, window_colours
from xdseg.data.streetworld.furniture import paint_fence, paint_lamp_post, paint_sign, paint_signal
from xdseg.data.streetworld.ground import ground_labels, paint_ground, place
from xdseg.data.streetworld.light import Light, draw_light
from xdseg.data.streetworld.people import paint_bicycle, paint_person
from xdseg.data.streetworld.plan import NEAREST, SPAN, Plan, Thing, draw_plan
from xdseg.data.streetworld.plants import paint_plant, paint_tree
from xdseg.data.streetworld.settings import Streetworld
from xdseg.data.streetworld.sky import SKY, paint_sky, paint_skyline
from xdseg.data.streetworld.style import Style
from xdseg.data.streetworld.textures import noise_tile
from xdseg.data.streetworld.vehicles import paint_bus, paint_car
from xdseg.data.streetworld.weather import finish

LONGEST, WIDEST = 12.0, 3.2  # m; a bus, and the arm of a traffic light
PAINTERS = {
    "bicycle": paint_bicycle,
    "bus": paint_bus,
    "car": paint_car,
    "person": paint_person,
    "plant": paint_plant,
    "sign": paint_sign,
    "signal": paint_signal,
    "tree": paint_tree,
}


def render(settings: Streetworld, *, domain: str, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) RGB and label (H, W), both uint8: a pure function of its arguments.

    Raises BadInput for an unknown domain or split.
    """
    style = draw_style(settings, domain=domain, split=split, index=index)
    draws = dice(settings, domain=domain, split=split, index=index, stream="scene")
    return render_style(style, draws, height=settings.height, width=settings.width)


def render_style(style: Style[float], draws: Dice, *, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) RGB and label (H, W), both uint8, of any style."""
    camera = _camera(style, draws, height=height, width=width)
    light, plan = draw_light(style, draws), draw_plan(style, draws)
    tile = noise_tile(draws)
    colours, labels = _backdrop(style, light, camera, plan, tile, draws)
    canvas = Canvas((np.clip(colours, 0.0, 1.0) * 255.0).astype(np.uint8), labels)
    _paint_things(canvas, style, light, camera, plan, draws)
    image, label = canvas.finish()
    return finish(image, label, style=style, light=light, tile=tile, dice=draws), label


def _camera(style: Style[float], draws: Dice, *, height: int, width: int) -> Camera:
    return Camera(
        rows=height,
        columns=width,
        focal=style.focal * width,
        centre=width * draws.between(0.42, 0.58),
        horizon=height * style.horizon,
        side=style.camera_side,
        height=style.camera_height,
    )


def _backdrop(
    style: Style[float], light: Light, camera: Camera, plan: Plan, tile: np.ndarray, draws: Dice
) -> tuple[np.ndarray, np.ndarray]:
    """Sky, ground and houses: colours (H, W, 3), float32 in [0, 1], and labels (H, W), uint8."""
    first = camera.first_ground_row()
    colours = paint_sky(style, light, camera, draws)
    labels = np.full((camera.rows, camera.columns), SKY, np.uint8)
    spot = place(camera)
    labels[first:] = ground_labels(plan, spot)
    paint_skyline(colours, labels, style=style, light=light, camera=camera, dice=draws)
    colours[first:] = paint_ground(style, light, camera, plan, spot, labels[first:], tile, draws)
    glass = window_colours(style, light, draws)
    paint_houses(colours, labels, plan.houses, style=style, light=light, camera=camera, glass=glass, tile=tile)
    return colours, labels


def _paint_things(canvas: Canvas, style: Style[float], light: Light, camera: Camera, plan: Plan, draws: Dice) -> None:
    """Gardens, then fences, then the street, each from far to near."""
    seen = [thing for thing in (*plan.things, *_lamp_posts(light)) if _in_sight(camera, thing)]
    gardens = [thing for thing in seen if abs(thing.x) > plan.walk]
    street = [thing for thing in seen if abs(thing.x) <= plan.walk]
    for thing in sorted(gardens, key=lambda thing: -thing.z):
        PAINTERS[thing.kind](canvas, camera, light, thing, style=style, dice=draws)
    for house in sorted(plan.fenced, key=lambda house: -house.start):
        paint_fence(canvas, camera, light, plan, house, style=style, dice=draws)
    for thing in sorted(street, key=lambda thing: -thing.z):
        if thing.kind == "lamp post":
            paint_lamp_post(canvas, camera, light, thing)
        else:
            PAINTERS[thing.kind](canvas, camera, light, thing, style=style, dice=draws)


def _in_sight(camera: Camera, thing: Thing) -> bool:
    """Whether any of a thing can lie within the image's columns."""
    far = thing.z + LONGEST  # a long vehicle's far end lies nearer to the vanishing point
    columns = [camera.project(thing.x + reach, 0.0, z)[0] for reach in (-WIDEST, WIDEST) for z in (thing.z, far)]
    return max(columns) > 0.0 and min(columns) < camera.columns


def _lamp_posts(light: Light) -> list[Thing]:
    """Posts under the heads that light the ground."""
    count = int(SPAN / light.lamp_step) + 1
    first = light.lamp_phase - light.lamp_step * ((light.lamp_phase - NEAREST) // light.lamp_step)
    places = [first + light.lamp_step * number for number in range(count)]
    return [Thing("lamp post", side * (light.lamp_row + 1.1), z) for z in places for side in (-1.0, 1.0)]
