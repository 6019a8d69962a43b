"""Colours under distortion: each change by its formula, in the published order, with the published chances."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from xdseg.data.augmentation import Augmenter, Draw
from xdseg.data.distortion import Change, distorted, draw_changes, grey_mean
from xdseg.settings.training import Augmentation, Distortion, Jitter

GREY = np.array([0.2989, 0.587, 0.114])
CONTRAST_ONLY = Distortion(probability=1, brightness=0, contrast=0.5, saturation=0, hue=0)


def draws(seed=0):
    """A generator."""
    return torch.Generator().manual_seed(seed)


def picture(height=24, width=36, seed=0):
    """Random (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(pixels):
    """(3, H, W)."""
    return torch.from_numpy(pixels).permute(2, 0, 1)


def by_formula(pixels, name, amount):
    """One change of (H, W, 3) uint8 in double precision, before it is cut to whole numbers."""
    values = pixels.astype(np.float64)
    if name == "hue":
        return np.apply_along_axis(lambda rgb: turned(rgb, amount), 2, values)
    grey = np.floor(values @ GREY)[..., None]
    other = {"brightness": 0.0, "contrast": grey.mean(), "saturation": grey}[name]
    return np.clip(amount * values + (1 - amount) * other, 0, 255)


def turned(rgb, shift):
    """A colour with its hue shifted, by Python's own conversion."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255))
    return 255 * np.array(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value))


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        *[("brightness", 1 - 32 / 255), ("brightness", 1 + 32 / 255), ("contrast", 0.5), ("contrast", 1.5)],
        *[("saturation", 0.5), ("saturation", 1.5), ("hue", -18 / 360), ("hue", 18 / 360)],
    ],
)
def test_each_change_is_its_formula(name, amount):
    """At both ends of EoMT's ranges: factor on values, on the distance from mean grey, from own grey; a turn of hue."""
    pixels = picture()
    found = distorted(tensor(pixels), [Change(name, amount)]).permute(1, 2, 0).numpy()
    exact = by_formula(pixels, name, amount)
    assert found.dtype == np.uint8
    assert np.abs(found - exact).max() < 1.01, "cut off to whole numbers, so less than one below"
    assert np.abs(found - exact).mean() < 0.6 and not np.array_equal(found, pixels)


def test_changes_by_hand():
    """Of pixels (200, 100, 50) and black: greys 124 and 0, mean 62."""
    pair = tensor(np.array([[[200, 100, 50], [0, 0, 0]]], np.uint8))
    assert grey_mean(pair).item() == 62
    results = {
        "brightness": [(220, 110, 55), (0, 0, 0)],
        "contrast": [(213, 103, 48), (0, 0, 0)],  # 1.1 * 200 - 6.2 = 213.8; below 0 is 0
        "saturation": [(207, 97, 42), (0, 0, 0)],  # 1.1 * 200 - 12.4 = 207.6
    }
    for name, expected in results.items():
        found = distorted(pair, [Change(name, 1.1)])
        assert [tuple(colour.tolist()) for colour in found[:, 0].T] == expected, name
    third = distorted(tensor(np.array([[[200, 0, 0]]], np.uint8)), [Change("hue", 1 / 3)])
    assert third.flatten().tolist() == [0, 200, 0], "a third of a turn from red is green"


@pytest.mark.parametrize("seed", range(40))
def test_window_has_the_bytes_of_the_distorted_whole(seed):
    """A window of a distorted image is the same whether torchvision distorts the whole or only the window is."""
    image = tensor(picture(seed=seed))
    changes = draw_changes(Distortion(probability=0.8), draws(seed))
    whole = image
    for name, amount in changes:
        whole = getattr(functional, f"adjust_{name}")(whole, amount)
    window = (slice(3, 15), slice(10, 31))
    assert torch.equal(distorted(image, changes), whole)
    assert torch.equal(distorted(image, changes, place=window), whole[:, 3:15, 10:31])


def test_how_often_how_much_and_in_which_order():
    """4,000 images: each change in half of them, amounts uniform over EoMT's ranges, contrast early in half."""
    drawn = [draw_changes(Distortion(), draws(seed)) for seed in range(4000)]
    ranges = {"brightness": (223 / 255, 287 / 255), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5)}
    ranges["hue"] = (-0.05, 0.05)
    for name, (low, high) in ranges.items():
        amounts = np.array([change.amount for changes in drawn for change in changes if change.name == name])
        assert len(amounts) / 4000 == pytest.approx(0.5, abs=0.025)
        assert low <= amounts.min() and amounts.max() <= high
        quarters = np.histogram(amounts, bins=4, range=(low, high))[0] / len(amounts)
        assert quarters == pytest.approx([0.25] * 4, abs=0.04)
    full = [[change.name for change in changes] for changes in drawn if len(changes) == 4]
    assert len(full) / 4000 == pytest.approx(1 / 16, abs=0.012), "the four coins are independent"
    early = ["brightness", "contrast", "saturation", "hue"]
    late = ["brightness", "saturation", "hue", "contrast"]
    assert all(order in (early, late) for order in full)
    assert full.count(early) / len(full) == pytest.approx(0.5, abs=0.1)


def test_chance_of_none_and_of_all():
    """At probability 0 nothing is done, at 1 everything; amounts do not hang on it."""
    none, some, whole = (draw_changes(Distortion(probability=p), draws(3)) for p in (0, 0.5, 1))
    assert none == [] and len(whole) == 4 and set(some) <= set(whole)


def halves():
    """A black left half and a white right half, 16 x 32, and labels that tell them."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, 16:] = 255
    return image, (image[..., 0] > 0).astype(np.uint8)


@pytest.mark.parametrize(("of", "grey"), [("image", True), ("crop", False)])
def test_contrast_keeps_the_mean_of_image_or_crop(of, grey):
    """A black crop of a half-white image: less contrast of the image makes it grey; of its own it has none to lose."""
    augmenter = Augmenter(
        Augmentation(crop=8, scale=(1, 1), distortion=CONTRAST_ONLY.model_copy(update={"of": of})),
    )
    seen = []
    for step in range(60):
        image, labels = augmenter.labelled(*halves(), Draw(0, "source/0", step))
        if not labels.any():
            assert image.min() == image.max()
            seen.append(image.max().item())
    assert len(seen) > 10 and (max(seen) > 50) == grey
    assert max(seen) <= 63, "at most half of the way to the mean, 127"


def test_distortion_moves_neither_geometry_nor_jitter():
    """Windows and labels are those without it; where its chance is 0 the jittered bytes are as well."""
    plain = Augmentation(crop=16, jitter=Jitter(probability=1))
    labels = np.random.default_rng(1).integers(0, 5, (40, 50)).astype(np.uint8)
    pair, draw = (picture(40, 50), labels), Draw(0, "source/0", 4)
    first = Augmenter(plain).labelled(*pair, draw)
    for probability, same in ((0, True), (1, False)):
        settings = plain.model_copy(update={"distortion": Distortion(probability=probability)})
        image, ids = Augmenter(settings).labelled(*pair, draw)
        assert torch.equal(ids, first[1]) and torch.equal(image, first[0]) == same


def test_distortion_follows_its_stream_and_spares_the_unlabelled():
    """Equal draws, equal pixels; another stream or step, others. The target's images come as they are."""
    settings = Augmentation(crop=40, scale=(1, 1), flip=0, distortion=Distortion(probability=1))
    image, labels = picture(40, 40), np.zeros((40, 40), np.uint8)
    shown = [
        Augmenter(settings).labelled(image, labels, Draw(0, *place))[0]
        for place in (("source/0", 1), ("source/0", 1), ("source/1", 1), ("source/0", 2))
    ]
    assert torch.equal(shown[0], shown[1])
    assert not any(torch.equal(shown[0], other) for other in shown[2:])
    assert torch.equal(Augmenter(settings).unlabelled(image, Draw(0, "target/0", 1)), tensor(image))
