"""The discriminator of `adversarial`: size and answer by hand, whom it gives gradients, and that it learns."""

import math

import pytest
import torch
from plugin_example import Toy
from torch import nn
from two_heads import module_with

from xdseg.adaptations.adversarial import SOURCE, TARGET
from xdseg.adaptations.discriminator import Discriminator
from xdseg.errors import BadInput


def test_discriminator_by_hand():
    """19 classes at width 64: 16 weights per pair of channels and a bias per output; five halvings."""
    network = Discriminator(19, channels=64)
    pairs = [(19, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    assert sum(p.numel() for p in network.parameters()) == sum(16 * a * b + b for a, b in pairs) == 2781121
    assert network(torch.rand(2, 19, 96, 64)).shape == (2, 1, 3, 2)
    assert [layer.negative_slope for layer in network.layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 4


def test_answer_by_hand():
    """With weights of 0 and biases of -1 each inner convolution gives -1, which the slope makes -0.2.

    The last, of weights 0.5, sees the 2 x 2 cells of 8 channels that are left, within a window of 4 x 4.
    """
    network = Discriminator(2, channels=1)
    for layer in network.layers[::2]:
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, -1.0)
    nn.init.constant_(network.layers[-1].weight, 0.5)
    assert network(torch.ones(1, 2, 32, 32)).item() == pytest.approx(-1 + 0.5 * 8 * 4 * -0.2)


def test_judging_gives_the_same_answer():
    """The logits are those of forward, bit for bit; the gradient reaches the maps and no parameter."""
    network, maps = Discriminator(3, channels=4), torch.rand(2, 3, 64, 32, requires_grad=True)
    logits = network.judge(maps)
    assert torch.equal(logits, network(maps))
    logits.sum().backward()
    assert maps.grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_maps_too_small_for_a_discriminator():
    """A side below 32 leaves no cell; the message says which setting to raise."""
    with pytest.raises(BadInput, match=r"images of 31x64 pixels .* set augmentation\.crop to 32 or more"):
        Discriminator(2, channels=1)(torch.ones(1, 2, 31, 64))


@pytest.mark.parametrize("objective", ["vanilla", "least-squares"])
def test_discriminator_learns_to_tell_domains(objective):
    """Sharp maps against flat ones: from chance (ln 2, or about 1/4) to a third of it on maps it has not seen."""
    settings = {"discriminator": {"channels": 8}, "objective": objective}
    adaptation = module_with("adversarial", settings, segmenter=Toy).adaptations["adversarial"]
    draws = torch.Generator().manual_seed(0)

    def maps():
        sharp, flat = (torch.randn(4, 3, 32, 32, generator=draws).mul(scale).softmax(1) for scale in (5, 0.5))
        return sharp, flat

    chance = {"vanilla": math.log(2), "least-squares": 0.25}[objective]
    with torch.no_grad():
        assert adaptation.discriminator_loss("main", *maps()) > 0.9 * chance
    adam = torch.optim.Adam(adaptation.parameters(), lr=2e-3, betas=(0.9, 0.99))
    for _ in range(60):
        adam.zero_grad()
        adaptation.discriminator_loss("main", *maps()).backward()
        adam.step()
    with torch.no_grad():
        assert adaptation.discriminator_loss("main", *maps()) < chance / 3
        sharp, flat = maps()
        discriminator = adaptation.discriminators["main"]
        middle = (SOURCE + TARGET) / 2 if objective == "least-squares" else 0.0
        assert discriminator(sharp).max() < middle < discriminator(flat).min()
