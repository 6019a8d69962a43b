"""DeepLabV2 against torchvision's ResNet, formulas written out, and sizes worked out by hand."""

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_contract import build, images, labels
from tiny_runs import fit
from torch import nn
from torchvision.models import resnet50, resnet101

from xdseg.data.tensors import normalise
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.deeplabv2 import DeepLabV2, DilatedClassifier, caffe_input
from xdseg.settings.deeplabv2 import DeepLabV2 as Settings
from xdseg.settings.training import Training

MEAN_PIXEL = (122.67891434, 116.66876762, 104.00698793)  # red, green, blue, as the lineage's code has them


def small(**changes):
    """A network on a ResNet-18, with three classes."""
    return build("deeplabv2", **changes)


def count(parameters):
    """How many numbers there are."""
    return sum(parameter.numel() for parameter in parameters)


def test_defaults_are_the_published_ones():
    """ResNet-101, two branches, one classifier, frozen affine; named in no fingerprint."""
    settings = SEGMENTERS["deeplabv2"].settings()
    assert settings.identity() == {}
    assert (settings.encoder, settings.branches, settings.auxiliary) == ("resnet101", 2, False)
    assert (settings.norm, settings.mean_over, settings.auxiliary_weight) == ("affine-frozen", "labelled", 0.1)


# Widths w of a ResNet-101's blocks and their number n. A block with c channels before it has 1x1 of c * w, 3x3 of
# 9 * w * w, 1x1 of 4 * w * w, and 2 * (w + w + 4 * w) of batch norm; the first of a stage a shortcut of c * 4 * w more
# and 8 * w of its norm. c is 4 * w but in the first of a stage, where it is 64 and then twice w.
BLOCKS = [(64, 3), (128, 4), (256, 23), (512, 3)]
STEM = 7 * 7 * 3 * 64
NORMS = 2 * 64 + sum(12 * w * n + 8 * w for w, n in BLOCKS)
FIRST = 64 * 64 + 64 * 256 + sum(2 * w * w + 2 * w * 4 * w for w in (128, 256, 512))  # of c channels: 1x1 and shortcut
REST = sum((13 * n + 4 * (n - 1)) * w * w for w, n in BLOCKS)
# One branch on c channels: 9 * c * 19 + 19. On 2048: 350 208 + 19, on 1024: 175 104 + 19.
DEEP_BRANCH, MIDDLE_BRANCH = 350_227, 175_123


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({}, 2 * DEEP_BRANCH),
        ({"branches": 4}, 4 * DEEP_BRANCH),
        ({"auxiliary": True}, 2 * (DEEP_BRANCH + MIDDLE_BRANCH)),
        ({"auxiliary": True, "branches": 4}, 4 * (DEEP_BRANCH + MIDDLE_BRANCH)),
    ],
)
def test_parameters_by_hand(changes, heads):
    """A ResNet-101 has 42 500 160, of which 105 344 of batch norm stay fixed; the classifiers come on top."""
    assert (STEM + FIRST + REST + NORMS, NORMS) == (42_500_160, 105_344)
    with torch.device("meta"):
        network = DeepLabV2(Settings(**changes), [str(number) for number in range(19)])
    assert count(network.parameters()) == 42_500_160 + heads
    assert count(p for p in network.parameters() if p.requires_grad) == 42_500_160 - 105_344 + heads


def shaken(network):
    """The network with other scales, shifts and statistics than 1 and 0, so that none can be left out unseen."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in (module.weight, module.running_var):
                    value.uniform_(0.5, 1.5)
                for value in (module.bias, module.running_mean):
                    value.normal_(std=0.1)
    return network.eval()


def features_of(theirs, x):
    """torchvision's maps of layer3 and layer4."""
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    middle = theirs.layer3(theirs.layer2(theirs.layer1(x)))
    return middle, theirs.layer4(middle)


def dilated(make):
    """torchvision's ResNet at stride 8; its first blocks keep the dilation before them, the lineage's do not."""
    theirs = make(replace_stride_with_dilation=[False, True, True])
    for stage, dilation in ((theirs.layer3, 2), (theirs.layer4, 4)):
        first = stage[0].conv2
        assert first.stride == (1, 1) and first.dilation == (dilation // 2,) * 2
        first.dilation = first.padding = (dilation, dilation)
    return theirs


def assert_same_maps(ours, theirs):
    """Relative to the largest value, within 1e-5."""
    theirs.load_state_dict(ours.encoder.state_dict(), strict=False)
    theirs.eval()
    with torch.no_grad():
        found = ours.encode(images(72, 64, batch=1)).maps
        expected = dict(zip(("middle", "deep"), features_of(theirs, images(72, 64, batch=1)), strict=True))
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert value.shape[-2:] == (9, 8)
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5 * value.abs().max().item())


def test_maps_equal_torchvisions():
    """With the same weights, layer3's and layer4's maps are those of torchvision's ResNet-101 at stride 8."""
    assert_same_maps(shaken(build("deeplabv2", encoder="resnet101", auxiliary=True)), dilated(resnet101))


def test_stride_in_the_first_convolution():
    """`1x1` gives the maps of a ResNet whose layer2 halves in its 1x1 convolution; the default's are others."""
    theirs = dilated(resnet50)
    theirs.layer2[0].conv1.stride, theirs.layer2[0].conv2.stride = (2, 2), (1, 1)
    ours = shaken(build("deeplabv2", encoder="resnet50", auxiliary=True, stride_in="1x1"))
    assert_same_maps(ours, theirs)
    with pytest.raises(AssertionError, match="not close"):
        assert_same_maps(ours, dilated(resnet50))
    with pytest.raises(ValueError, match="stride_in: resnet18 has no 1x1"):
        Settings(encoder="resnet18", stride_in="1x1")


@pytest.mark.parametrize(("branches", "dilations"), [(2, (6, 12)), (4, (6, 12, 18, 24))])
def test_classifier_is_the_sum_of_its_branches(branches, dilations):
    """Each logit is bias plus, over dilations and nine taps, weight times the value that far away, 0 beyond the map."""
    network = small(branches=branches).eval()
    x = torch.randn(1, 512, 30, 28, generator=torch.Generator().manual_seed(0))
    state, expected = network.head.state_dict(), torch.zeros(1, 3, 30, 28)
    for number, dilation in enumerate(dilations):
        expected += state[f"{number}.bias"].view(1, -1, 1, 1)
        around = F.pad(x, (dilation,) * 4)
        for row in range(3):
            for column in range(3):
                top, left = row * dilation, column * dilation
                seen = around[..., top : top + 30, left : left + 28]
                weight = state[f"{number}.weight"][:, :, row, column]
                expected += torch.einsum("kc,bchw->bkhw", weight, seen)
    assert len(network.head) == branches
    features = network.encode(images(32, 32)).with_maps({"deep": x})
    torch.testing.assert_close(network.decode(features).logits, expected, rtol=1e-4, atol=1e-4)


def test_initial_classifier():
    """Weights are normal with deviation 0.01, as published."""
    torch.manual_seed(0)
    weights = torch.cat([branch.weight.flatten() for branch in DilatedClassifier(2048, 19, (6, 12, 18, 24))])
    assert weights.std().item() == pytest.approx(0.01, rel=0.01) and abs(weights.mean().item()) < 1e-4
    assert (weights.abs() < 0.01).float().mean().item() == pytest.approx(0.6827, abs=0.002)


def test_caffe_input_by_hand():
    """A white pixel is 255 less the mean in blue, green, red; red comes last; the mean pixel is 0."""
    pixels = torch.tensor([[255, 255, 255], [255, 0, 10], [123, 117, 104]], dtype=torch.uint8)
    seen = caffe_input(normalise(pixels.view(3, 3, 1, 1)))[..., 0, 0]
    blue, green, red = 104.00698793, 116.66876762, 122.67891434
    expected = [[255 - blue, 255 - green, 255 - red], [10 - blue, -green, 255 - red]]
    torch.testing.assert_close(seen[:2], torch.tensor(expected), rtol=0, atol=1e-4)
    assert seen[2].abs().max() < 0.5


def test_encoder_reads_what_the_setting_says():
    """With `caffe` the stem sees pixels made from the image by the published formula, else the image as it is."""
    pixels = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    by_formula = (pixels.float() - torch.tensor(MEAN_PIXEL).view(-1, 1, 1))[:, [2, 1, 0]]
    for choice, expected in (("caffe", by_formula), ("imagenet", normalise(pixels))):
        network, seen = small(input=choice).eval(), []
        network.encoder.conv1.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        network.encode(normalise(pixels))
        torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", ["affine-frozen", "trained"])
def test_batch_norm_while_training(norm):
    """Running statistics move, also with one image; scale and shift take a gradient only if they are trained."""
    network = small(norm=norm).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [module.running_mean.clone() for module in norms]
    sum(network.decode(network.encode(images(32, 32, batch=1))).loss(labels(32, 32, batch=1)).values()).backward()
    assert len(norms) == 20 and not any(
        torch.equal(old, module.running_mean) for old, module in zip(before, norms, strict=True)
    )
    assert {module.weight.grad is None for module in norms} == {norm == "affine-frozen"}
    assert {module.bias.grad is None for module in norms} == {norm == "affine-frozen"}
    assert network.encoder.conv1.weight.grad.abs().sum() > 0


def test_frozen_affine_stays_through_a_run(tmp_path):
    """A run with weight decay on everything leaves scale and shift as they were drawn, and moves the rest."""
    recipe = {"steps": 2, "weight_decay": 0.1, "decay_all": True}
    job = tiny_jobs.make_job(tmp_path, segmenter="deeplabv2", **recipe)
    report = fit(job, tmp_path / "run")
    found = load_file(tmp_path / "run" / "weights.safetensors")
    for key, value in build("deeplabv2", seed=job.seed).state_dict().items():
        fixed = key.removesuffix(".weight").removesuffix(".bias").endswith(("bn1", "bn2", "downsample.1"))
        assert torch.equal(found[key], value) == fixed, key
    assert report["parameters"] - report["trainable"] == 9_600  # twice 64, 4 * 64 and 5 * (128 + 256 + 512) channels


def test_heads_learn_faster():
    """Both classifiers take the head's rate, the encoder its own; frozen scales are in no group."""
    network = small(auxiliary=True)
    groups = network.parameter_groups(Training(steps=10, lr=2.5e-4, head_lr_factor=10))
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    heads = {*map(id, network.head.parameters()), *map(id, network.auxiliary.parameters())}
    assert len(heads) == 8
    assert {rates[key] for key in heads} == {2.5e-3}
    assert {rate for key, rate in rates.items() if key not in heads} == {2.5e-4}
    assert id(network.encoder.bn1.weight) not in rates


def test_auxiliary_loss_is_weighted():
    """The second classifier's cross entropy is that of its own scores, times 0.1, or whatever the setting says."""
    truth, weights = labels(32, 32), torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(4))
    truth[:, :4] = 255
    for changes, weight in (({}, 0.1), ({"auxiliary_weight": 0.4, "mean_over": "all"}, 0.4)):
        network = small(auxiliary=True, **changes).eval()
        prediction = network.decode(network.encode(images(32, 32)))
        second = prediction.auxiliary["middle"]
        pixels = truth.numel() if "mean_over" in changes else (truth != 255).sum()
        entropy = F.cross_entropy(second.scores((32, 32)), truth, reduction="none", ignore_index=255)
        terms = prediction.loss(truth, weights)
        assert list(terms) == ["cross_entropy", "auxiliary"]
        torch.testing.assert_close(terms["auxiliary"], weight * (entropy * weights).sum() / pixels)
        assert not torch.equal(second.scores((32, 32)), prediction.scores((32, 32)))


def test_second_classifier_reads_the_middle_map():
    """Its prediction follows the map `middle`; that of the network does not."""
    network = small(auxiliary=True).eval()
    features = network.encode(images(32, 32))
    assert list(features.maps) == [spec.name for spec in network.describe().maps] == ["middle", "deep"]
    plain = network.decode(features)
    changed = network.decode(features.with_maps({"middle": features.maps["middle"] + 1}))
    assert torch.equal(plain.logits, changed.logits)
    assert not torch.equal(plain.auxiliary["middle"].logits, changed.auxiliary["middle"].logits)
    expected = network.auxiliary(features.maps["middle"])
    assert torch.equal(plain.auxiliary["middle"].logits, expected)


def test_second_classifier_of_weight_zero_leaves_the_rest(tmp_path):
    """It adds no term, and a run leaves the first classifier and the encoder as a run without it."""
    network = small(auxiliary=True, auxiliary_weight=0)
    assert list(network.decode(network.encode(images(32, 32))).loss(labels(32, 32))) == ["cross_entropy"]
    ends = {}
    for name, changes in (("without", {"auxiliary": False}), ("with", {"auxiliary": True, "auxiliary_weight": 0})):
        job = tiny_jobs.make_job(tmp_path, segmenter="deeplabv2", network={"encoder": "resnet18", **changes}, steps=2)
        fit(job, tmp_path / name)
        ends[name] = load_file(tmp_path / name / "weights.safetensors")
    assert all(torch.equal(value, ends["with"][key]) for key, value in ends["without"].items())


def test_corners_are_aligned_on_request():
    """Both classifiers' scores are then resized with corner cells on corner pixels."""
    network = small(auxiliary=True, align_corners=True).eval()
    prediction = network.decode(network.encode(images(32, 32)))
    for part in (prediction, prediction.auxiliary["middle"]):
        scores = part.scores((32, 32))
        assert torch.equal(scores[..., ::31, ::31], part.logits[..., ::3, ::3])
