"""The images that encoders learn from, each a pure function of the settings and its number."""

import numpy as np

from xdseg.backbones.textures import TEXTURES
from xdseg.backbones.worlds import draw_style
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.render import render_style
from xdseg.settings.backbones import Images


def draw_image(settings: Images, index: int) -> np.ndarray:
    """Image (H, W, 3), uint8: a scene whose style is asserted to be no domain's, or a texture."""
    dice = Dice("backbones", settings.seed, index)
    if dice.chance(settings.scenes):
        return render_style(draw_style(dice), dice, height=settings.height, width=settings.width)[0]
    return dice.pick(TEXTURES)(dice, (settings.height, settings.width))


def draw_all(settings: Images) -> np.ndarray:
    """All images (N, H, W, 3), uint8."""
    return np.stack([draw_image(settings, index) for index in range(settings.count)])
