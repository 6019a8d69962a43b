"""Which learning rate and weight decay each parameter gets: by part, by block, by kind."""

import plugin_example
import pytest
import timm
import tiny_jobs
import torch
from torch import nn

from xdseg.segmenters.parameters import parameter_groups, timm_layer
from xdseg.settings.training import Training
from xdseg.training.optimisers import Optimisers
from xdseg.training.train_step import TrainStep

EOMT = {"steps": 19_902, "lr": 1e-4, "weight_decay": 0.05, "layer_decay": 0.8}


def is_head(name):
    """All that is not below `encoder.`."""
    return not name.startswith("encoder.")


def rate_of(groups, named):
    """(learning rate, weight decay) by the parameter's name."""
    names = {id(parameter): name for name, parameter in named}
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def of_vit(recipe, *, blocks=24, layer_of=timm_layer):
    """Rates of a few parameters of each block, of what comes before and after them, and of heads."""
    below = ["pos_embed", "cls_token", "reg_token", "patch_embed.proj.bias", "norm.weight", "norm.bias"]
    below += [f"blocks.{number}.{part}" for number in range(blocks) for part in ("attn.qkv.weight", "ls1.gamma")]
    names = [f"encoder.{name}" for name in below] + ["q.weight", "upscale.0.conv1.weight", "class_head.bias"]
    named = [(name, nn.Parameter(torch.ones([2] * (1 + name.endswith(("weight", "embed")))))) for name in names]
    groups = parameter_groups(named, recipe, is_head=is_head, layer_of=layer_of, layers=blocks)
    return groups, rate_of(groups, named)


def test_rates_of_eomt_by_hand():
    """ViT-L at 0.8: 1e-4 in block 23 and behind it, 0.8^23 of it, 5.9e-7, in block 0 and before it."""
    _, rates = of_vit(Training(**EOMT))
    lr = {name: rate for name, (rate, _) in rates.items()}
    for name in ("blocks.23.attn.qkv.weight", "blocks.23.ls1.gamma", "norm.weight"):
        assert lr[f"encoder.{name}"] == 1e-4
    assert lr["q.weight"] == lr["upscale.0.conv1.weight"] == lr["class_head.bias"] == 1e-4
    assert lr["encoder.blocks.22.ls1.gamma"] == pytest.approx(8e-5)
    assert lr["encoder.blocks.20.attn.qkv.weight"] == pytest.approx(5.12e-5)
    for name in ("blocks.0.ls1.gamma", "pos_embed", "cls_token", "reg_token", "patch_embed.proj.bias"):
        assert lr[f"encoder.{name}"] == pytest.approx(5.902958e-7, rel=1e-6)


def test_head_factor_and_layer_decay_are_apart():
    """A head ten times as fast is ten times the last block; blocks stay as they are."""
    _, rates = of_vit(Training(**EOMT, head_lr_factor=10))
    assert rates["q.weight"][0] == pytest.approx(1e-3)
    assert rates["encoder.blocks.22.ls1.gamma"][0] == pytest.approx(8e-5)


def test_decay_on_all_or_on_matrices():
    """0.05 on what has two dimensions and more; with `decay_all` on every parameter, in half as many groups."""
    plain, rates = of_vit(Training(**EOMT))
    all_groups, all_rates = of_vit(Training(**EOMT, decay_all=True))
    assert rates["encoder.blocks.3.attn.qkv.weight"][1] == 0.05 == rates["encoder.pos_embed"][1]
    assert rates["encoder.blocks.3.ls1.gamma"][1] == rates["class_head.bias"][1] == 0
    assert {decay for _, decay in all_rates.values()} == {0.05}
    assert {name: lr for name, (lr, _) in all_rates.items()} == {name: lr for name, (lr, _) in rates.items()}
    assert len(all_groups) == 26 and len(plain) == 52


def test_groups_begin_with_the_peak():
    """Encoder before heads; in it what is in no block, then blocks from the last one: the first rate is the peak."""
    groups, _ = of_vit(Training(**EOMT, decay_all=True), blocks=3)
    names = ["encoder.decay", "encoder.layer2.decay", "encoder.layer1.decay", "encoder.layer0.decay", "head.decay"]
    assert [group["name"] for group in groups] == names
    assert [group["part"] for group in groups] == ["encoder"] * 4 + ["head"]
    assert [group["lr"] / 1e-4 for group in groups] == pytest.approx([1, 1, 0.8, 0.64, 1])


def test_no_layer_decay_knows_no_layers():
    """At 1 the groups are those of a network without blocks: encoder and head, decayed and not."""
    groups, rates = of_vit(Training(steps=1, lr=1e-4))
    assert [group["name"] for group in groups] == ["encoder.decay", "encoder.plain", "head.decay", "head.plain"]
    assert {rate for rate, _ in rates.values()} == {1e-4}


def test_network_without_blocks_has_no_layer_decay():
    """The contract's default says of no parameter that it is in a block; all have the full rate."""
    toy = plugin_example.Toy(tiny_jobs.segmenter_settings("toy"), tiny_jobs.CLASSES)
    groups = toy.parameter_groups(Training(**EOMT))
    assert {group["lr"] for group in groups} == {1e-4} and len(groups) == 4


def test_a_layer_that_is_not_there():
    """A segmenter that says block 2 of 2 is named with its parameter."""
    with pytest.raises(ValueError, match=r"encoder\.norm\.weight is said to be in layer 2 of 2"):
        of_vit(Training(**EOMT), blocks=2, layer_of=lambda name: 2 if "norm" in name else None)


def published_layers(names, blocks):
    """EoMT's own walk, backwards through the parameters: what comes before block 0 keeps the number it ends with."""
    layers, current = {}, blocks
    for name in reversed(names):
        parts = name.split(".")
        inside = "blocks" in parts
        current = int(parts[parts.index("blocks") + 1]) if inside else current
        outside = name.startswith("encoder.norm") or not name.startswith("encoder.")
        layers[name] = None if outside or not (inside or current == 0) else current
    return layers


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "deit3_small_patch16_224", "eva02_tiny_patch14_224"])
def test_layers_of_real_networks(name):
    """Every parameter of three kinds of timm's transformers is in the block that EoMT's code puts it in."""
    with torch.device("meta"):
        network = nn.ModuleDict({"encoder": timm.create_model(name, num_classes=0), "head": nn.Linear(2, 2)})
    names = [name for name, _ in network.named_parameters()]
    found = {name: timm_layer(name) for name in names}
    assert found == published_layers(names, 12)
    assert set(found.values()) == {None, *range(12)}
    assert found["head.weight"] is None and found["encoder.patch_embed.proj.weight"] == 0


def test_encoder_may_lie_deeper():
    """With another prefix, names are read below it and nowhere else."""
    assert timm_layer("encoder.backbone.blocks.7.mlp.fc1.bias", encoder="encoder.backbone.") == 7
    assert timm_layer("encoder.backbone.norm.bias", encoder="encoder.backbone.") is None
    assert timm_layer("decoder.blocks.7.mlp.fc1.bias") is None


class Layered(plugin_example.Toy):
    """The toy, whose two convolutions are its blocks."""

    layers = 2

    def layer_of(self, parameter):
        """0 for the fine one, 1 for the deep one."""
        return {"encoder.fine": 0, "encoder.deep": 1}.get(parameter.rpartition(".")[0])


def test_a_step_is_as_long_as_its_rate():
    """With plain gradient descent on a sum, each weight moves by its own rate: 1/8 in block 0, 1/2 elsewhere."""
    network = Layered(tiny_jobs.segmenter_settings("toy"), tiny_jobs.CLASSES)
    recipe = Training(steps=10, lr=1, optimizer="sgd", momentum=0, weight_decay=0, layer_decay=0.25)
    optimisers = Optimisers(TrainStep(network, {}, seed=0, total=10), recipe, device=torch.device("cpu"))
    assert optimisers.set_rates(5) == 0.5, "curves show the rate of the last block"
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimisers.step()
    for name, parameter in network.named_parameters():
        rate = 0.125 if name.startswith("encoder.fine") else 0.5
        torch.testing.assert_close(before[name] - parameter, torch.full_like(parameter, rate))
