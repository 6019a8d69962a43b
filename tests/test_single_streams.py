"""MFuser on one encoder: what is left out, who sees whom, what stands beside the texts, and sizes."""

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from test_mfuser import CITYSCAPES, build, count, drawn, images, labels, settings, trained, unused
from torch import nn

from xdseg.segmenters.contract import MapSpec
from xdseg.segmenters.foundation.text_queries import JOINT, TEXT
from xdseg.segmenters.foundation.towers import global_and_patches
from xdseg.segmenters.mfuser.fusers import create_single
from xdseg.segmenters.mfuser.segmenter import MFuser
from xdseg.segmenters.steering import INPUT
from xdseg.segmenters.vit import Guided, Tokens
from xdseg.settings.mfuser import Fuser
from xdseg.settings.mfuser import MFuser as Settings

TOKENS = 7


def losses(network):
    """All terms, of two images."""
    return sum(network.decode(network.encode(images(32, 32))).loss(labels(32, 32)).values())


def test_language_alone_knows_no_vision_model():
    """Nothing of it is built or read: another encoder in the settings, or one that is not there, changes no bit."""
    one, other = build(streams="vlm"), build(streams="vlm", vfm={"encoder": "nowhere", "weights": "nowhere.pth"})
    assert one.vfm is None and not any(name.startswith("vfm.") for name in one.state_dict())
    for network in (one, other):
        network.load_pretrained()
    assert one.state_dict().keys() == other.state_dict().keys()
    assert torch.equal(one.predict(images(32, 32)), other.predict(images(32, 32)))
    assert one.encode(images(32, 32)).maps["neck0"].shape[1] == 16 and one.neck.paths[1].in_channels == 32


def test_vision_alone_does_not_look_with_the_other():
    """Noise in the vision-language model's blocks changes no bit; in its projection, beside the texts, it does."""
    network = build(streams="vfm")
    before = network.predict(images(32, 32))
    with torch.no_grad():
        for part in (network.vlm.visual.conv1, network.vlm.visual.transformer, network.vlm.visual.ln_pre):
            for parameter in part.parameters():
                parameter.add_(torch.randn_like(parameter))
    assert torch.equal(network.predict(images(32, 32)), before)
    joint = network.encode(images(32, 32)).context[JOINT]
    with torch.no_grad():
        network.vlm.visual.proj.mul_(2)
    torch.testing.assert_close(network.encode(images(32, 32)).context[JOINT], 2 * joint)


@pytest.mark.parametrize("streams", ["vfm", "vlm"])
def test_texts_are_the_same(streams):
    """Of one encoder or of two: names are embedded by the vision-language model alone, from the same draws."""
    alone, both = build(streams=streams), build()
    both.vlm.load_state_dict(alone.vlm.state_dict())
    both.names.load_state_dict(alone.names.state_dict())
    texts = [network.encode(images(32, 32)).context[TEXT] for network in (alone, both)]
    assert torch.equal(*texts)


def test_language_alone_without_fusers_is_open_clips():
    """The global embedding is that of open_clip's tower."""
    network = build(streams="vlm", fuser={"kind": "none"})
    network.vlm.settings = network.vlm.settings.model_copy(update={"class_token_twice": False})
    theirs = network.vlm.visual(network.vlm.normalised(images(32, 32)))
    torch.testing.assert_close(network.encode(images(32, 32)).context[JOINT][:, 0], theirs, rtol=1e-4, atol=1e-5)


def test_vision_alone_beside_the_texts_by_hand():
    """Its tokens, brought to the other's width, normed by CLIP and projected; the mean patch stands for the image."""
    network, found = build(streams="vfm", fuser={"kind": "none"}), {}
    network.projection.register_forward_hook(lambda _, inputs, output: found.update(given=inputs[0], made=output))
    joint = network.encode(images(32, 32)).context[JOINT]
    assert torch.equal(found["given"], through(network, images(32, 32)))
    visual, made = network.vlm.visual, found["made"]
    expected = torch.cat([made.mean(1, keepdim=True), made], dim=1)
    expected = F.layer_norm(expected, (32,), visual.ln_post.weight, visual.ln_post.bias) @ visual.proj
    torch.testing.assert_close(joint, expected)


def through(network, given):
    """Tokens of the vision model's blocks."""
    tower = network.towers["vfm"]
    tokens = tower.embed(given)
    for number in range(len(tower.blocks)):
        tokens = tower.run(number, tokens)
    return tokens.x


def test_token_of_the_whole_image():
    """The first one in front, without further ones; the mean of the patches where none is."""
    x = torch.arange(24.0).view(1, 6, 4)
    for before, front in ((0, x.mean(1)), (1, x[:, 0]), (2, x[:, 0])):
        made = global_and_patches(Tokens(x, (1, 6 - before)))
        assert torch.equal(made, torch.cat([front[:, None], x[:, before:]], dim=1))


@pytest.mark.parametrize("kind", ["mvfuser", "separate-mvfuser", "concat-attention", "separate-attention"])
def test_fuser_sees_its_own_sequence(kind):
    """MVFuser: a token sees those before it and one ahead; attention: all."""
    module = drawn(create_single(Fuser(kind=kind, heads=4, states=4), 16))
    x = torch.randn(1, TOKENS, 16, dtype=torch.float64).requires_grad_()
    (made,) = module(Tokens(x, (2, 3)))
    for place in range(TOKENS):
        (gradient,) = torch.autograd.grad(made[0, place].sum(), x, retain_graph=True)
        seen = (gradient[0].abs().amax(1) > 0).nonzero().flatten().tolist()
        assert seen == list(range(min(place + 2, TOKENS) if kind.endswith("mvfuser") else TOKENS))


@pytest.mark.parametrize("streams", ["vfm", "vlm"])
def test_fuser_stands_behind_each_block(streams):
    """What the neck reads last is the last block's patches with what the last fuser adds."""
    network, found = build(streams=streams), {}
    network.fusers[7].register_forward_hook(lambda _, inputs, outputs: found.update(end=inputs[0].x + outputs[0]))
    network.neck.register_forward_pre_hook(lambda _, inputs: found.update(map=inputs[0][3]))
    network.encode(images(32, 48))
    patches = found["end"][:, -24:]
    torch.testing.assert_close(found["map"], patches.transpose(1, 2).unflatten(2, (4, 6)))
    assert len(network.fusers) == 8


@pytest.mark.parametrize("streams", ["vfm", "vlm"])
def test_streams_learn(streams):
    """All that is trained has a gradient, and both encoders are frozen."""
    network = build(streams=streams).train()
    losses(network).backward()
    assert unused(network) == []
    assert all(p.grad is None for name, p in network.named_parameters() if name.startswith(("vfm.", "vlm.")))


@pytest.mark.parametrize(("streams", "before"), [("vfm", 0), ("vlm", 1)])
def test_steer_reaches_the_only_encoder(streams, before):
    """Each block asks at its site; a bias that forbids all but the first patch makes all patches see it alone."""
    network, asked = build(streams=streams, fuser={"kind": "none"}), []
    tower = network.towers[streams]

    def steer(site, features, keys):
        asked.append(site)
        bias = torch.full((keys[0] * keys[1],), -torch.inf)
        bias[0] = 0
        return bias if site == f"{streams}.blocks.0" else None

    assert {site.name for site in network.describe().sites[:8]} == {f"{streams}.blocks.{n}" for n in range(8)}
    assert network.describe().sites[0].heads == {"vfm": 3, "vlm": 2}[streams]
    plain, steered = network.encode(images(32, 32)), network.encode(images(32, 32), steer=steer)
    assert asked == [f"{streams}.blocks.{n}" for n in range(8)]
    assert not torch.allclose(plain.maps["neck3"], steered.maps["neck3"])
    tokens = tower.embed(torch.randn(1, 3, 32, 32))
    x = tokens.x.detach().requires_grad_()
    mask = F.pad(steer(f"{streams}.blocks.0", None, (4, 4)).expand(1, 1, 16, 16), (before, 0, before, 0))
    (gradient,) = torch.autograd.grad(tower.run(0, Tokens(x, (4, 4)), mask).x[0, before + 5].sum(), x)
    seen = (gradient[0].abs().amax(1) > 0).nonzero().flatten().tolist()
    assert seen == [*range(before), before, before + 5]


def test_attention_step_by_step_equals_the_kernel():
    """Of CLIP's tower, with a bias of each image and without: `fused` changes no more than rounding."""
    fused, plain = build(streams="vlm").towers["vlm"], build(streams="vlm", fused=False).towers["vlm"]
    tokens = Tokens(torch.randn(2, 1 + 16, 32), (4, 4))
    for mask in (None, torch.randn(2, 1, 17, 17)):
        torch.testing.assert_close(plain.run(3, tokens, mask).x, fused.run(3, tokens, mask).x, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain.run(3, tokens, torch.randn(1, 2, 17, 17)).x, plain.run(3, tokens).x)


def test_factors_in_clips_attention():
    """Values times a factor of each head and rows times a gate, of either form, against PyTorch's own weights."""
    for fused in (True, False):
        tower = build(streams="vlm", fused=fused).towers["vlm"]
        block, x = tower.blocks[3], torch.randn(2, 1 + 16, 32)
        bias, factor, gate = torch.randn(2, 1, 17, 17), torch.rand(2, 2, 17, 1) + 0.5, torch.rand(2, 17, 1)
        normed = block.ln_1(x)
        mask = bias.expand(2, 2, 17, 17).flatten(0, 1)
        _, weights = block.attn(normed, normed, normed, attn_mask=mask, average_attn_weights=False)
        values = F.linear(normed, block.attn.in_proj_weight[-32:], block.attn.in_proj_bias[-32:])
        seen = (weights * factor.transpose(2, 3)) @ values.unflatten(2, (2, 16)).transpose(1, 2)
        wanted = x + block.attn.out_proj(seen.transpose(1, 2).flatten(2)) * gate
        wanted = wanted + block.mlp(block.ln_2(wanted))
        found = tower.run(3, Tokens(x, (4, 4)), Guided(bias, factor, gate)).x
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("streams", "width"), [("both", 192), ("vfm", 192), ("vlm", 32)])
def test_steer_sees_the_patches_that_enter(streams, width):
    """Of the first encoder, at its width and the stride of its patches."""
    network, seen = build(streams=streams, fuser={"kind": "none"}), {}
    first = next(iter(network.towers))

    def spy(site, features, keys):
        seen[site] = features.context[INPUT]

    network.encode(images(32, 48), steer=spy)
    described = network.describe().sites[:8]
    assert [site.reads for site in described] == [MapSpec(INPUT, width, 8)] * 8
    assert all(seen[site.name].shape == (2, width, 4, 6) for site in described) and len(seen) == 8
    tower = network.towers[first]
    given = images(32, 48) if first == "vfm" else network.vlm.normalised(images(32, 48))
    assert torch.equal(seen[f"{first}.blocks.0"], tower.embed(given).patches)
    tokens = tower.run(0, tower.embed(given))
    assert torch.equal(seen[f"{first}.blocks.1"], tokens.patches)


def test_sizes():
    """At paper size 76,676,717 are trained on either encoder, of MFuser's 115,479,149 (neither is the paper's number).

    The fusers stay; the neck has half the width, and the pixel decoder's four projections read 1,024 channels fewer.
    """
    for streams in ("vfm", "vlm"):
        with torch.device("meta"):
            network = MFuser(Settings(streams=streams), CITYSCAPES)
        assert [count(part) for part in network.fusers] == [1_667_585] * 24
        assert trained(network) == 115_479_149 - (50_341_888 - 12_588_032) - 4 * 1024 * 256 == 76_676_717


def test_two_look_at_each_other():
    """Attention to another encoder's map needs one."""
    with pytest.raises(ValidationError, match=r"fuser\.kind: bi-deformable-attention is of two encoders"):
        settings(streams="vlm", fuser={"kind": "bi-deformable-attention"})
    assert create_single(Fuser(kind="none"), 16) is None
    assert isinstance(build(streams="vlm").projection, nn.Identity)
    assert settings(streams="both") == settings() and tiny_jobs.CLASSES
