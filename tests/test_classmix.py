"""ClassMix and threshold weight on images small enough to work out by hand."""

import pytest
import torch

from xdseg.adaptations.classmix import draw_classes, mix, paste_masks
from xdseg.adaptations.contract import PseudoLabels
from xdseg.adaptations.pseudo_labels import image_area, threshold_weighted
from xdseg.data.loading import Labelled
from xdseg.data.tensors import IGNORE, PADDING, normalise


def draws(seed=0):
    """A generator."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("values", "count"), [([4], 1), ([1, 4], 1), ([0, 1, 4], 2), ([0, 1, 4, IGNORE], 2), ([0, 1, 2, 4, IGNORE], 3)]
)
def test_half_of_the_classes_rounded_up(values, count):
    """Of n label values (n + n % 2) / 2 are drawn, ignored pixels counted as one; each value has its turn."""
    labels = torch.tensor(values).repeat(2).view(1, -1)
    drawn = [draw_classes(labels, draws(seed)) for seed in range(40)]
    assert all(len(chosen.unique()) == len(chosen) == count for chosen in drawn)
    assert set(torch.cat(drawn).tolist()) == set(values)


def test_draws_come_from_the_stream_alone():
    """One seed, one draw, whatever the global generator did before."""
    labels = torch.arange(12).view(1, 3, 4)
    first = paste_masks(labels, draws(3), classes_of="image")
    torch.rand(7)
    assert torch.equal(first, paste_masks(labels, draws(3), classes_of="image"))
    assert not torch.equal(first, paste_masks(labels, draws(4), classes_of="image"))


def test_mask_covers_chosen_classes_whole():
    """An image of one class is pasted whole; of two classes in halves, one half is."""
    labels = torch.tensor([[[7, 7], [7, 7]], [[1, 2], [1, 2]]])
    masks = paste_masks(labels, draws(), classes_of="image")
    assert masks[0].all()
    assert masks[1].tolist() in ([[True, False]] * 2, [[False, True]] * 2)


def test_classes_of_the_batch_may_miss_an_image():
    """Drawn from the batch's four classes, two at a time, an image of one class is pasted in half of the draws."""
    labels = torch.tensor([[[0]], [[1]], [[2]], [[3]]])
    pasted = torch.stack([paste_masks(labels, draws(seed), classes_of="batch") for seed in range(500)])
    shares = pasted.float().mean(0).flatten().tolist()
    assert shares == pytest.approx([0.5] * 4, abs=0.08)
    counts = pasted.sum(1).flatten()
    assert counts.min() < 2 < counts.max(), "each image draws anew"
    assert paste_masks(labels, draws(), classes_of="image").all(), "drawn from itself, its one class is"


def test_pasted_pixels_by_hand():
    """Where the mask is set pixel, label and weight 1 are the source's, elsewhere pixel, label and q the target's."""
    source = Labelled(torch.full((1, 3, 2, 2), 5.0), ("a/0",), torch.tensor([[[1, 2], [IGNORE, 2]]]))
    target = torch.arange(12.0).view(1, 3, 2, 2)
    given = PseudoLabels(torch.tensor([[[8, 8], [9, 9]]]), torch.full((1, 2, 2), 0.25))
    mixed = mix(source, target, given, torch.isin(source.labels, torch.tensor([1, IGNORE])))
    assert mixed.images[0].tolist() == [[[5, 1], [5, 3]], [[5, 5], [5, 7]], [[5, 9], [5, 11]]]
    assert mixed.labels.tolist() == [[[1, 8], [IGNORE, 9]]]
    assert mixed.weights.tolist() == [[[1, 0.25], [1, 0.25]]]


def probabilities(*confident):
    """(B, 2, 1, n): class 1 with these probabilities, one row per image."""
    ones = torch.tensor(confident)[:, None, None]
    return torch.cat([1 - ones, ones], dim=1)


def test_threshold_weight_by_hand():
    """Of eight pixels in two images three reach 0.968: every pixel of both weighs 3/8, with its likelier class."""
    given = probabilities([0.968, 0.967, 0.5001, 0.1], [0.99, 0.01, 0.6, 0.4])
    labels = threshold_weighted(given, torch.zeros(2, 3, 1, 4) + 1, threshold=0.968)
    assert labels.labels.tolist() == [[[1, 1, 1, 0]], [[1, 0, 1, 0]]]
    assert labels.weights.tolist() == [[[3 / 8] * 4]] * 2


def test_padding_gets_no_label_and_no_vote():
    """Of three pixels within the image one is sure; the padded one, however sure, neither counts nor has a label."""
    padding = normalise(torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1))[:, 0, 0]
    images = torch.ones(1, 3, 1, 4)
    images[0, :, 0, 3] = padding
    labels = threshold_weighted(probabilities([0.99, 0.4, 0.6, 0.99]), images, threshold=0.968)
    assert labels.labels.tolist() == [[[1, 0, 1, IGNORE]]]
    assert labels.weights.unique().tolist() == pytest.approx([1 / 3])


def test_grey_pixels_are_not_padding():
    """A pixel of padding's colour inside the image stays; one 8-bit level beside it, so do whole rows."""
    images = normalise(torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4).clone()[None])
    assert not image_area(images).any()
    images[:, :, :2, :3] = 1.0
    images[:, :, 0, 0] = images[:, :, 3, 3]
    assert image_area(images)[0].tolist() == [[True] * 3 + [False]] * 2 + [[False] * 4] * 2
    near = torch.tensor([*PADDING[:2], PADDING[2] + 1], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert image_area(normalise(near)).all()
