"""HRDA and the network inside it: its loss and context, names and rates, size, steers, and what is refused."""

from dataclasses import dataclass, field, replace
from functools import partial

import plugin_example
import pytest
import tiny_jobs
import torch
from test_contract import build, images, labels
from test_hrda import WIDE, at_random, counted, stream, written_out

from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS, Component
from xdseg.segmenters.contract import Features
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.hrda.segmenter import SIZE
from xdseg.settings.training import Training
from xdseg.training.optimisers import check_groups

MIT = {"inner": {"kind": "daformer", **tiny_jobs.SMALL["daformer"]}, "detail": 64, "detail_stride": 64}


@dataclass(frozen=True)
class TwoHeads(DensePrediction):
    """With a second head of weight 1/2, and a switch of its own."""

    auxiliary: dict = field(default_factory=dict)
    doubled: bool = False

    def loss(self, truth, weights=None):
        """Both heads' cross entropy."""
        entropy = super().loss(truth, weights)["cross_entropy"] * (2 if self.doubled else 1)
        further = {name: head.loss(truth, weights)["cross_entropy"] / 2 for name, head in self.auxiliary.items()}
        return {"cross_entropy": entropy} | further


class Switched(plugin_example.Toy):
    """A toy with a second head and a doubled loss."""

    def decode(self, features, *, steer=None):
        """The toy's logits, and their double."""
        logits = super().decode(features).logits
        return TwoHeads(logits, auxiliary={"second": DensePrediction(2 * logits)}, doubled=True)


class Contextual(plugin_example.Toy):
    """A toy whose decoding needs the images' mean, which no map holds."""

    def encode(self, x, *, stream=None, steer=None):
        """The toy's maps, and the mean in the context."""
        return replace(super().encode(x), context={"mean": x.mean((1, 2, 3))})

    def decode(self, features, *, steer=None):
        """The toy's logits raised by the mean."""
        return DensePrediction(super().decode(features).logits + features.context["mean"][:, None, None, None])


def around(monkeypatch, network, **settings):
    """HRDA around a network that is registered for one test."""
    declared = Component(network, plugin_example.ToySettings, f"test_hrda_inner:{network}", version=1)
    monkeypatch.setitem(SEGMENTERS.components, network, declared)
    return build("hrda", inner={"kind": network, "dropout": 0}, **settings).eval()


@torch.no_grad()
def test_inner_loss_keeps_its_switches(monkeypatch):
    """Settings and further heads of the inner prediction act on the fused loss, in the crop and over windows."""
    network, truth = around(monkeypatch, "Switched"), labels(*WIDE)
    for draw in (stream(), None):
        features = network.encode(images(*WIDE), stream=draw)
        prediction = network.decode(features)
        terms, second = prediction.loss(truth), prediction.auxiliary["second"]
        context = network.inner.decode(Features(features.maps)).logits
        assert torch.equal(second.logits, 2 * context)
        assert list(terms) == ["cross_entropy", "second", "detail"]
        plain = DensePrediction(prediction.fused.logits).loss(truth)["cross_entropy"]
        torch.testing.assert_close(terms["cross_entropy"], 0.9 * 2 * plain)
        torch.testing.assert_close(terms["second"], 0.9 * second.loss(truth)["cross_entropy"] / 2)
        top, left, height, width = prediction.box
        inside, logits = truth[:, top : top + height, left : left + width], prediction.detail.logits
        of_crop = 2 * DensePrediction(logits).loss(inside)["cross_entropy"]
        of_crop += DensePrediction(2 * logits).loss(inside)["cross_entropy"] / 2 if draw else 0
        torch.testing.assert_close(terms["detail"], 0.1 * of_crop)


@torch.no_grad()
def test_windows_with_a_context_pass_alone(monkeypatch):
    """What decoding needs beside maps cannot be joined: each window keeps its own, and so does the whole context."""
    network, batch = at_random(around(monkeypatch, "Contextual")), images(*WIDE)
    expected, _ = written_out(network, batch, cell=2)
    seen = counted(network)
    features = network.encode(batch)
    assert seen == [(2, 16, 32), *[(2, 16, 16)] * 21] and features.context.keys() == {"mean", SIZE}
    torch.testing.assert_close(network.decode(features).fused.logits, expected, rtol=1e-5, atol=1e-5)


def test_groups_and_progress_are_the_inner_ones(monkeypatch):
    """Names begin with `inner.`; its encoder has the encoder's rate, its head and the attention the head's."""
    network = build("hrda", **MIT)
    recipe = Training(steps=10, lr=1e-3, head_lr_factor=10)
    groups = network.parameter_groups(recipe)
    check_groups(network, groups)
    names = {parameter: name for name, parameter in network.named_parameters()}
    for group in groups:
        encoder, rate = group["part"] == "encoder", 1e-3 if group["part"] == "encoder" else 1e-2
        assert {names[parameter].startswith("inner.encoder.") for parameter in group["params"]} == {encoder}
        assert group["lr"] == pytest.approx(rate)
    assert {name.split(".")[0] for name in names.values()} == {"inner", "attention"}
    said = []
    monkeypatch.setattr(network.inner, "set_progress", lambda *at: said.append(at))
    monkeypatch.setattr(network.inner, "load_pretrained", lambda: said.append("loaded"))
    monkeypatch.setattr(network.inner, "layer_of", {"encoder.block1": 3}.get)
    network.set_progress(2, 7)
    network.load_pretrained()
    assert said == [(2, 7), "loaded"]
    assert (network.layer_of("inner.encoder.block1"), network.layer_of("attention.encoder.block1")) == (3, None)


def test_inner_network_starts_as_it_does_alone():
    """Built from the same seed, the network inside has the weights of the same segmenter by itself, and no other."""
    inside, alone = build("hrda", **MIT).inner.state_dict(), build("daformer").state_dict()
    assert inside.keys() == alone.keys() and all(torch.equal(inside[key], alone[key]) for key in alone)


def test_paper_sized_network(monkeypatch):
    """MiT-B5 and DAFormer's head have 81,443,008 + 3,712,275 parameters; the attention is worked out by hand.

    With 1024 = 64 + 128 + 320 + 512 and also 4 * 256: linear layers 1024 * 256 + 4 * 256, a 1x1 convolution
    1024 * 256 without bias, its norm 2 * 256, the classifier 256 * 19 + 19.
    """
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))  # smp reads its values
    settings = SEGMENTERS["hrda"].settings(inner={"kind": "daformer"})
    with torch.device("meta"):
        network = SEGMENTERS["hrda"].load()(settings, [str(number) for number in range(19)])
    attention = (1024 * 256 + 4 * 256) + (1024 * 256 + 2 * 256) + (256 * 19 + 19)
    assert sum(parameter.numel() for parameter in network.attention.parameters()) == attention
    assert sum(parameter.numel() for parameter in network.parameters()) == 81_443_008 + 3_712_275 + attention
    description = network.describe()
    assert [spec.stride for spec in description.maps] == [8, 16, 32, 64] and description.multiple == 64
    assert network.unit == 8 and len(description.sites) == 52


def test_steer_reaches_context_and_details():
    """Every site is asked in both passes, by the grid of keys of each; a bias changes what either gives."""
    network, asked = build("hrda", **MIT).eval(), []

    def steer(site, features, keys):
        asked.append((site, keys))
        return torch.linspace(0, 3, keys[0] * keys[1])

    plain, steered = network.encode(images(128, 128)), network.encode(images(128, 128), steer=steer)
    sites = [site.name for site in network.describe().sites]
    assert [site for site, _ in asked] == sites * 2
    assert all(not torch.equal(plain.maps[name], value) for name, value in steered.maps.items())
    details = [features.parts["detail.1"].features.maps for features in (plain, steered)]
    assert all(not torch.equal(details[0][name], value) for name, value in details[1].items())


def test_black_image_leaves_no_trace():
    """The look at the inner network when it is built moves no running statistic and leaves it in training mode."""
    network = build("hrda")
    assert all(module.training for module in network.modules())
    assert all((value == 0).all() for name, value in network.named_buffers() if name.endswith("running_mean"))


@pytest.mark.parametrize("kind", ["eomt", "hrda", "vit-mask2former"])
def test_mask_classifiers_are_refused(kind):
    """When the network is built, one line says that a dense segmenter is needed."""
    with pytest.raises(BadInput, match=f"hrda.inner: {kind} gives no logits per pixel to fuse; take a dense segmenter"):
        build("hrda", inner={"kind": kind, **tiny_jobs.SMALL[kind]})


@pytest.mark.parametrize(("key", "value"), [("detail", 20), ("detail_stride", 12)])
def test_details_that_do_not_fit_are_refused(key, value):
    """Details end on cells of the context and on the inner segmenter's multiple; the key and the multiple are named."""
    with pytest.raises(BadInput, match=f"hrda.{key}: {value} is no multiple of 8, as deeplabv3plus needs"):
        build("hrda", **{key: value})


def test_images_that_do_not_fit_are_refused():
    """Encode takes multiples alone; predict pads."""
    with pytest.raises(BadInput, match="hrda: images of 40x32 pixels; take a crop whose sides 16 divides"):
        build("hrda").encode(images(40, 32))
