"""What every registered segmenter promises, and what the adaptations' contract refuses."""

import pytest
import segmentation_models_pytorch as smp
import tiny_jobs
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from xdseg.adaptations.build import build_adaptations
from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.contract import Features, Part
from xdseg.segmenters.dense import DensePrediction, pixel_loss
from xdseg.settings.training import Training
from xdseg.training.optimisers import check_groups
from xdseg.training.train_step import combined

RECIPE = Training(steps=10, lr=1e-3, weight_decay=0.1, head_lr_factor=10)
every_segmenter = pytest.mark.parametrize("name", list(SEGMENTERS))


def build(name, seed=0, **changes):
    """A small network of that name."""
    return build_segmenter(name, tiny_jobs.segmenter_settings(name, **changes), tiny_jobs.CLASSES, seed=seed)


def images(*size, batch=2, seed=0):
    """Normalised random images."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def labels(*size, batch=2):
    """Random valid labels."""
    return torch.randint(len(tiny_jobs.CLASSES), (batch, *size), generator=torch.Generator().manual_seed(1))


@every_segmenter
def test_identity_maps_leave_scores_bit_equal(name):
    """Putting back the maps that encode gave changes no bit of the scores."""
    network = build(name).eval()
    features = network.encode(images(32, 32))
    same = features.with_maps({key: value.clone() for key, value in features.maps.items()})
    assert torch.equal(network.decode(features).scores((32, 32)), network.decode(same).scores((32, 32)))


def said(prediction):
    """Scores of a prediction, and of those of further heads."""
    return torch.stack([head.scores((32, 32)) for head in (prediction, *prediction.auxiliary.values())])


@every_segmenter
def test_changed_maps_change_scores(name):
    """Each map that features offer is really read by decode, be it by a further head."""
    network = build(name).eval()
    features = network.encode(images(32, 32))
    before = said(network.decode(features))
    for key, value in features.maps.items():
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
        assert not torch.equal(before, said(network.decode(features.with_maps({key: value + noise})))), key


@every_segmenter
def test_description_fits_features(name):
    """Names, order, channels and strides of the maps are as described, and so are the classes."""
    network = build(name).eval()
    description, features = network.describe(), network.encode(images(64, 32))
    assert description.classes == tiny_jobs.CLASSES
    shapes = {spec.name: (2, spec.channels, 64 // spec.stride, 32 // spec.stride) for spec in description.maps}
    assert list(features.maps) == list(shapes)
    assert {key: tuple(value.shape) for key, value in features.maps.items()} == shapes


@every_segmenter
def test_description_names_further_heads(name):
    """What further heads say in training is described by name, in order, and is of the same classes."""
    network = build(name).train()
    auxiliary = network.decode(network.encode(images(32, 32))).auxiliary
    assert tuple(auxiliary) == network.describe().auxiliary
    for key, prediction in auxiliary.items():
        assert prediction.probabilities((32, 32)).shape == (2, len(tiny_jobs.CLASSES), 32, 32), key


@every_segmenter
def test_ignored_images_give_no_loss_and_no_gradient(name):
    """Where all pixels are ignored the loss is 0, and so is every gradient; neither is NaN."""
    network = build(name).train()
    terms = network.decode(network.encode(images(32, 32))).loss(torch.full((2, 32, 32), 255))
    total = sum(terms.values())
    total.backward()
    assert total.item() == 0
    assert all(p.grad is None or torch.equal(p.grad, torch.zeros_like(p)) for p in network.parameters())


@every_segmenter
def test_weights_of_one_equal_no_weights(name):
    """Weights of 1 give the published loss, bit for bit; weights of 0 give none."""
    network = build(name).eval()
    prediction, truth = network.decode(network.encode(images(32, 32))), labels(32, 32)
    plain, ones = prediction.loss(truth), prediction.loss(truth, torch.ones(2, 32, 32))
    assert {key: value.item() for key, value in plain.items()} == {key: value.item() for key, value in ones.items()}
    assert sum(plain.values()) > 0
    assert sum(prediction.loss(truth, torch.zeros(2, 32, 32)).values()).item() == 0


@every_segmenter
def test_probabilities_sum_to_one(name):
    """Over the classes, at any size; also those that are made of predict's scores."""
    network = build(name).eval()
    probabilities = network.decode(network.encode(images(32, 32))).probabilities((48, 20))
    assert probabilities.shape == (2, 3, 48, 20) and probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 48, 20))
    of_scores = network.probabilities(network.predict(images(32, 32)))
    torch.testing.assert_close(of_scores.sum(1), torch.ones(2, 32, 32))


@every_segmenter
def test_predict_takes_any_size(name):
    """Odd sizes are padded and cropped back; at a fitting size predict is decode after encode, bit for bit."""
    network = build(name).eval()
    assert network.predict(images(37, 53)).shape == (2, 3, 37, 53)
    whole = network.decode(network.encode(images(32, 64))).scores((32, 64))
    assert torch.equal(network.predict(images(32, 64)), whole)
    multiple = network.describe().multiple
    padded = network.predict(F.pad(images(37, 53), (0, -53 % multiple, 0, -37 % multiple)))
    torch.testing.assert_close(network.predict(images(37, 53)), padded[..., :37, :53])


@every_segmenter
def test_parameter_groups_cover_each_parameter_once(name):
    """Each trainable parameter is in one group; what has one dimension is not decayed; the head learns faster."""
    network = build(name)
    frozen = next(network.parameters()).requires_grad_(False)
    groups = network.parameter_groups(RECIPE)
    check_groups(network, groups)
    assert all(frozen is not parameter for group in groups for parameter in group["params"])
    assert {group["lr"] for group in groups} <= {1e-3, 1e-2} and any(group["lr"] == 1e-2 for group in groups)
    for group in groups:
        decays = {parameter.ndim > 1 for parameter in group["params"]}
        assert decays == {group["weight_decay"] == 0.1}


@every_segmenter
def test_rates_fall_by_block_where_there_are_blocks(name):
    """With layer_decay the last of n blocks has the whole rate and the first decay^(n-1) of it; else nothing falls."""
    network = build(name)
    groups = network.parameter_groups(RECIPE.model_copy(update={"layer_decay": 0.5}))
    check_groups(network, groups)
    rates = {group["lr"] for group in groups if group["part"] == "encoder"}
    blocks = {1e-3 * 0.5**depth for depth in range(network.layers)}
    assert rates - {1e-3} == blocks - {1e-3}


@every_segmenter
def test_initialisation_follows_the_seed(name):
    """One seed gives one set of weights, whatever was drawn before; another seed gives another."""
    first = build(name, seed=1).state_dict()
    torch.rand(5)
    second, third = build(name, seed=1).state_dict(), build(name, seed=2).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], third[key]) for key in first)


def test_forgotten_parameter_is_an_error():
    """A group list that leaves a trainable parameter out, or names one twice, is refused by the parameter's name."""
    network = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="trainable parameter bias is in 0 groups"):
        check_groups(network, [{"params": [network.weight]}])
    with pytest.raises(ValueError, match="weight is in 2 groups"):
        check_groups(network, [{"params": [network.weight, network.bias]}, {"params": [network.weight]}])
    with pytest.raises(ValueError, match="1 parameters in its groups are not its own"):
        check_groups(network, [{"params": [*network.parameters(), nn.Parameter(torch.ones(1))]}])


def test_unknown_map_is_refused():
    """Replacing a map or part that does not exist is an error that names what there is; others stay untouched."""
    features = Features({"deep": torch.ones(1)}, context={"queries": 7}, parts={})
    with pytest.raises(ValueError, match="'deap' is not among deep"):
        features.with_maps({"deap": torch.ones(1)})
    assert features.with_maps({"deep": torch.zeros(1)}).context == {"queries": 7}
    with pytest.raises(ValueError, match="'detail'"):
        features.with_parts({"detail": Part(features, (0, 0, 4, 4), 1.0)})


def test_dense_loss_by_hand():
    """Logits (0, ln 3): a pixel of class 1 costs ln(4/3), one of class 0 ln 4; ignored pixels and their number drop."""
    logits = torch.tensor([0.0, 3.0]).clamp(min=1).log().view(1, 2, 1, 1).expand(1, 2, 1, 3).clone().requires_grad_()
    truth = torch.tensor([[[1, 0, 255]]])
    expected = (torch.tensor(4 / 3).log() + torch.tensor(4.0).log()) / 2
    torch.testing.assert_close(pixel_loss(logits, truth), expected)
    pixel_loss(logits, truth).backward()
    assert torch.equal(logits.grad[..., 2], torch.zeros(1, 2, 1)) and logits.grad[..., 0].abs().sum() > 0
    weighted = pixel_loss(logits, truth, torch.tensor([[[0.5, 0.0, 9.0]]]))
    torch.testing.assert_close(weighted, 0.5 * torch.tensor(4 / 3).log() / 2)


def test_dense_loss_over_all_pixels_by_hand():
    """With `all` the same costs, ln(4/3) and ln 4, are divided by three pixels; an ignored one is one of them."""
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 3).clone().requires_grad_()
    truth, costs = torch.tensor([[[1, 0, 255]]]), torch.tensor([4 / 3, 4.0]).log()
    torch.testing.assert_close(pixel_loss(logits, truth, mean_over="all"), costs.sum() / 3)
    weighted = pixel_loss(logits, truth, torch.tensor([[[0.5, 1.0, 9.0]]]), mean_over="all")
    torch.testing.assert_close(weighted, (0.5 * costs[0] + costs[1]) / 3)
    ignored = pixel_loss(logits, torch.full((1, 1, 3), 255), mean_over="all")
    ignored.backward()
    assert ignored.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


DENSE = [name for name in SEGMENTERS if "mean_over" in SEGMENTERS[name].settings.model_fields]


def test_dense_segmenters_can_count_all_pixels():
    """The four with one logit per class and cell have the switch."""
    assert DENSE == ["daformer", "deeplabv2", "deeplabv3plus", "segformer"]


@pytest.mark.parametrize("name", DENSE)
def test_padding_counts_only_where_all_pixels_do(name):
    """A quarter of ignored columns leaves the mean over labelled pixels and takes a quarter of that over all."""
    truth = labels(32, 32)
    truth[..., 24:] = 255
    losses = {}
    for choice in ("labelled", "all"):
        network = build(name, mean_over=choice).eval()
        losses[choice] = sum(network.decode(network.encode(images(32, 32))).loss(truth).values())
    torch.testing.assert_close(losses["all"], 0.75 * losses["labelled"])
    default = build(name).eval()
    assert torch.equal(sum(default.decode(default.encode(images(32, 32))).loss(truth).values()), losses["labelled"])
    assert tiny_jobs.segmenter_settings(name, mean_over="labelled") == tiny_jobs.segmenter_settings(name)


def test_dense_scores_align_pixel_centres():
    """Doubling a 1 x 2 map (0, 3) gives 0, 0.75, 2.25, 3, and with aligned corners 0, 1, 2, 3."""
    logits = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    assert DensePrediction(logits).scores((1, 4)).flatten().tolist() == [0, 0.75, 2.25, 3]
    aligned = DensePrediction(logits, align_corners=True).scores((1, 4)).flatten()
    torch.testing.assert_close(aligned, torch.tensor([0.0, 1.0, 2.0, 3.0]))


def test_deeplab_equals_smp():
    """With the same weights, logits equal those of segmentation-models-pytorch's DeepLabV3Plus."""
    ours = build("deeplabv3plus").eval()
    theirs = smp.DeepLabV3Plus(
        "resnet18", encoder_weights=None, decoder_channels=32, decoder_atrous_rates=(1, 2, 3), classes=3, upsampling=1
    ).eval()
    renamed = {key.replace("head.", "segmentation_head.0.", 1): value for key, value in ours.state_dict().items()}
    theirs.load_state_dict(renamed)
    with torch.no_grad():
        logits = ours.decode(ours.encode(images(64, 48))).logits
        torch.testing.assert_close(logits, theirs(images(64, 48)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_encoder_weights_from_a_file(tmp_path, ending):
    """The encoder takes a file's weights, without their classifier; the rest is drawn as without."""
    donor, path = build("deeplabv3plus", seed=5), tmp_path / f"encoder.{ending}"
    weights = donor.encoder.state_dict() | {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    save_file(weights, path) if ending == "safetensors" else torch.save(weights, path)
    network, plain = build("deeplabv3plus", weights=str(path)), build("deeplabv3plus")
    assert torch.equal(network.encoder.conv1.weight, donor.encoder.conv1.weight)
    assert torch.equal(network.head.weight, plain.head.weight)


def test_weights_that_do_not_fit_are_named(tmp_path):
    """Missing, surplus and misshapen tensors end in one line with their number and the first name."""
    weights = build("deeplabv3plus").encoder.state_dict()
    weights["bn1.extra"] = weights.pop("bn1.weight")
    weights["conv1.weight"] = weights["conv1.weight"][:1]
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "e.safetensors")
    with pytest.raises(BadInput, match=r"e\.safetensors: 3 parameters do not fit, first bn1\.extra"):
        build("deeplabv3plus", weights=str(tmp_path / "e.safetensors"))
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    with pytest.raises(BadInput, match=r"damaged\.pth: no readable weights"):
        build("deeplabv3plus", weights=str(tmp_path / "damaged.pth"))


def test_imagenet_weights_without_a_network(monkeypatch):
    """Offline, `imagenet` ends with one line that says what was wanted and where to put a file."""
    original = smp.encoders.get_encoder

    def offline(name, **options):
        if options["weights"] is not None:
            raise OSError("no network")
        return original(name, **options)

    monkeypatch.setattr(smp.encoders, "get_encoder", offline)
    with pytest.raises(BadInput, match=r"smp-hub/resnet18\.imagenet .*give that file's path as weights"):
        build("deeplabv3plus", weights="imagenet")


def test_one_image_in_training_is_refused():
    """Batch norm after pooling cannot take one image: the message says what to change."""
    with pytest.raises(BadInput, match="needs 2 images per round"):
        build("deeplabv3plus").train().encode(images(32, 32, batch=1))


@pytest.mark.parametrize(
    ("adaptations", "target", "message"),
    [
        (["toy-entropy"], "none", "adaptation toy-entropy: needs the target's images"),
        (["toy-self-training", "toy-self-training-too"], "images", "both provide pseudo-labels"),
    ],
)
def test_adaptations_that_cannot_work_are_refused(tmp_path, adaptations, target, message):
    """Before anything trains, one line says which adaptation lacks what."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[(name, {}) for name in adaptations], target=target)
    with pytest.raises(BadInput, match=message):
        build_adaptations(job, build("toy").describe())


def test_steers_add_up():
    """Two biases are summed, a site that no one steers stays without, and no steer at all is None."""
    one, two = lambda s, f, k: torch.ones(k), lambda s, f, k: 2 * torch.ones(k) if s == "a" else None
    assert combined([None, None]) is None and combined([None, one]) is one
    assert combined([one, two])("a", None, (1, 2)).tolist() == [[3, 3]]
    assert combined([one, two])("b", None, (1, 2)).tolist() == [[1, 1]]
    assert combined([two, two])("b", None, (1, 2)) is None
