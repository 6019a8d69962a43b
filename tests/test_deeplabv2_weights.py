"""Files of AdaptSegNet's lineage: which of their weights DeepLabV2 takes."""

import pytest
import torch
from safetensors.torch import save_file
from test_contract import build

from xdseg.errors import BadInput


def lineage_file(path, donor, *, prefix="", layers=None, counters=True, branches=4, classes=3):
    """A file as AdaptSegNet's code saves: torchvision's names, and classifiers as layer5 and layer6."""
    weights = {key: value for key, value in donor.encoder.state_dict().items() if counters or "num_batches" not in key}
    draws = torch.Generator().manual_seed(9)
    for layer, width in (layers or {}).items():
        for number in range(branches):
            name = f"{layer}.conv2d_list.{number}"
            weights[f"{name}.weight"] = torch.randn(classes, width, 3, 3, generator=draws)
            weights[f"{name}.bias"] = torch.randn(classes, generator=draws)
    weights = {prefix + key: value.contiguous() for key, value in weights.items()}
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    return weights


def test_initial_weights_of_the_lineage(tmp_path):
    """A file with `Scale.` before all names, old batch norm and 21 classes fills the encoder and nothing else."""
    donor, path = build("deeplabv2", seed=5), tmp_path / "init.pth"
    weights = lineage_file(path, donor, prefix="Scale.", layers={"layer5": 512}, counters=False, classes=21)
    assert "Scale.layer1.0.conv1.weight" in weights and "Scale.layer5.conv2d_list.3.bias" in weights
    network, plain = build("deeplabv2", seed=1, weights=str(path)), build("deeplabv2", seed=1)
    for key, value in network.encoder.state_dict().items():
        assert torch.equal(value, donor.encoder.state_dict()[key]), key
    assert all(torch.equal(value, plain.head.state_dict()[key]) for key, value in network.head.state_dict().items())


MULTI = {"layer5": 256, "layer6": 512}


@pytest.mark.parametrize(
    ("layers", "changes", "head", "auxiliary"),
    [
        (MULTI, {"auxiliary": True}, "layer6", "layer5"),  # two of the file's four branches, those that act
        (MULTI, {"auxiliary": True, "branches": 4}, "layer6", "layer5"),
        (MULTI, {"auxiliary": False}, "layer6", None),
        ({"layer5": 512}, {"auxiliary": False}, "layer5", None),  # AdaptSegNet's single level
        ({"layer5": 512}, {"auxiliary": True}, "layer5", None),
        ({"layer6": 512}, {"auxiliary": True}, "layer6", None),  # ADVENT's
    ],
)
def test_classifiers_of_the_lineage(tmp_path, layers, changes, head, auxiliary):
    """Of a trained file the classifiers are taken that fit, each by the map it reads; others stay as drawn."""
    path = tmp_path / "trained.safetensors"
    weights = lineage_file(path, build("deeplabv2"), layers=layers)
    network, plain = build("deeplabv2", weights=str(path), **changes), build("deeplabv2", **changes)
    for part, layer in (("head", head), ("auxiliary", auxiliary)):
        drawn = getattr(plain, part)
        for key, value in {} if drawn is None else getattr(network, part).state_dict().items():
            expected = weights[f"{layer}.conv2d_list.{key}"] if layer else drawn.state_dict()[key]
            assert torch.equal(value, expected), (part, key)


def test_too_few_branches_do_not_fit(tmp_path):
    """A classifier of two branches is no part of one of four, and is left out as a whole."""
    path = tmp_path / "two.safetensors"
    lineage_file(path, build("deeplabv2"), layers={"layer6": 512}, branches=2)
    network, plain = build("deeplabv2", weights=str(path), branches=4), build("deeplabv2", branches=4)
    assert all(torch.equal(value, plain.head.state_dict()[key]) for key, value in network.head.state_dict().items())


def test_other_networks_weights_are_refused(tmp_path):
    """An encoder's tensor that is missing is named, whatever classifiers the file holds."""
    path = tmp_path / "other.safetensors"
    weights = lineage_file(path, build("deeplabv2"), layers=MULTI)
    del weights["layer4.1.conv2.weight"]
    save_file(weights, path)
    with pytest.raises(BadInput, match=r"1 parameter does not fit, first layer4\.1\.conv2\.weight"):
        build("deeplabv2", weights=str(path))
