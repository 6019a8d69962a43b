"""Colours and blur of mixed images: how often, how much, and by whose draws."""

import pytest
import torch

from xdseg.adaptations.photometric import blurred, changed, draw_switches, jittered
from xdseg.data.tensors import denormalise, normalise
from xdseg.settings.dacs import Views


def draws(seed=0):
    """A generator."""
    return torch.Generator().manual_seed(seed)


def pixels(seed=0):
    """Random 8-bit images (2, 3, 12, 16)."""
    return torch.randint(256, (2, 3, 12, 16), generator=draws(seed), dtype=torch.uint8)


@pytest.mark.parametrize(("meaning", "share"), [("threshold", 0.8), ("probability", 0.2)])
def test_how_often_as_published_and_as_named(meaning, share):
    """Published, jitter's 0.2 is a threshold: 80% of 2000 draws. Read as a probability: 20%. Blur: 50%."""
    settings = Views(jitter_p_means=meaning)
    switches = [draw_switches(settings, draws(seed)) for seed in range(2000)]
    assert sum(switch.jitter for switch in switches) / 2000 == pytest.approx(share, abs=0.03)
    assert sum(switch.blur for switch in switches) / 2000 == pytest.approx(0.5, abs=0.04)
    both = sum(switch.jitter and switch.blur for switch in switches) / 2000
    assert both == pytest.approx(share / 2, abs=0.03), "neither draw hangs on the other"


def test_defaults_are_as_published():
    """Jitter of strength 0.25 in 80%, blur of 0.15 to 1.15 pixels in 50% of the steps."""
    views = Views()
    assert (views.jitter_strength, views.jitter_p, views.jitter_p_means) == (0.25, 0.2, "threshold")
    assert (views.blur_p, views.blur_sigma) == (0.5, (0.15, 1.15))


def test_no_switch_leaves_the_tensor():
    """Where neither is drawn, not a bit of the images changes."""
    images = normalise(pixels())
    assert changed(images, Views(jitter_p=1, blur_p=0), draws()) is images


def test_no_strength_and_no_blur_change_nothing():
    """At strength 0 a jittered image is itself, up to the rounding of hue and grey."""
    image = pixels()[0] / 255
    torch.testing.assert_close(jittered(image, 0.0, draws()), image, rtol=0, atol=1e-5)
    images = normalise(pixels())
    unmoved = changed(images, Views(jitter_p=0, jitter_strength=0, blur_p=0), draws())
    torch.testing.assert_close(unmoved, images, rtol=0, atol=1e-4)


def test_jitter_stays_in_range_and_draws_per_image():
    """Colours end in [0, 1]; two equal images of one step end different; a seed repeats."""
    images = normalise(pixels()[:1].expand(2, -1, -1, -1))
    settings = Views(jitter_p=0, blur_p=0)
    first, again, other = (changed(images, settings, draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first[0], first[1])
    shown = denormalise(first)
    assert shown.min() >= -1e-6 and shown.max() <= 1 + 1e-6


def test_grey_stays_grey_and_within_its_factors():
    """Of a flat grey image, brightness alone shows: 0.5 becomes 0.375 to 0.625 at strength 0.25."""
    shades = [jittered(torch.full((3, 4, 4), 0.5), 0.25, draws(seed)) for seed in range(200)]
    values = torch.stack([shade[0, 0, 0] for shade in shades])
    assert all(torch.allclose(shade, shade[0, 0, 0], atol=1e-5) for shade in shades)
    assert 0.374 < values.min() < 0.39 and 0.61 < values.max() < 0.626


def test_blur_by_hand():
    """A white pixel keeps its sum and loses its peak to 1/(2 pi sigma^2), sigma within what was asked for."""
    image = torch.zeros(3, 21, 21)
    image[:, 10, 10] = 1
    soft = blurred(image, (1.0, 1.0), draws())
    torch.testing.assert_close(soft.sum((1, 2)), torch.ones(3), rtol=1e-4, atol=0)
    assert soft[0, 10, 10].item() == pytest.approx(1 / (2 * torch.pi), rel=0.01)
    peaks = torch.stack([blurred(image, (0.15, 1.15), draws(seed))[0, 10, 10] for seed in range(60)])
    assert 1 / (2 * torch.pi * 1.15**2) - 0.01 < peaks.min() < 0.2 and peaks.max() > 0.95
