"""HRDA: context, details and their fusion against formulas written here, and what passes through the inner network."""

from dataclasses import dataclass, field, replace
from functools import partial

import plugin_example
import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from test_contract import build, images, labels
from tiny_runs import fit, interrupted

from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS, Component
from xdseg.segmenters.contract import Features
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.hrda.boxes import hull, in_cells, random_box
from xdseg.segmenters.hrda.fusion import covered, fused, spread
from xdseg.segmenters.hrda.segmenter import SIZE
from xdseg.settings.training import Training
from xdseg.training.optimisers import check_groups
from xdseg.training.teacher import Teacher

TOY = {"inner": {"kind": "toy", "dropout": 0}}
MIT = {"inner": {"kind": "daformer", **tiny_jobs.SMALL["daformer"]}, "detail": 64, "detail_stride": 64}
WIDE = (32, 64)  # of which details of 16 every 8 pixels make 3 x 7 windows


def stream(seed=0):
    """What a step hands to encode."""
    return torch.Generator().manual_seed(seed)


def at_random(network, seed=7):
    """The network with an attention that differs from place to place and class to class."""
    weight = network.attention.classifier.weight
    weight.data = torch.randn(weight.shape, generator=stream(seed))
    return network


def context_of(network, batch):
    """Logits and attention of the batch at half its size."""
    features = network.inner.encode(F.avg_pool2d(batch, 2))  # what bilinear halving does
    logits = network.inner.decode(features).logits
    return logits, torch.sigmoid(network.attention(list(features.maps.values())))


def grown(x):
    """Twice the size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def written_out(network, batch, *, side=16, stride=8, cell=4):
    """Fused logits and those of the details, with `cell` pixels per cell; windows as the released code places them."""
    height, width = batch.shape[-2:]
    total = torch.zeros(len(batch), len(tiny_jobs.CLASSES), height // cell, width // cell)
    count = torch.zeros_like(total)
    for row in range(max(height - side + stride - 1, 0) // stride + 1):
        for column in range(max(width - side + stride - 1, 0) // stride + 1):
            bottom, right = min(row * stride + side, height), min(column * stride + side, width)
            top, left = max(bottom - side, 0), max(right - side, 0)
            logits = network.inner.decode(network.inner.encode(batch[:, :, top:bottom, left:right])).logits
            total[:, :, top // cell : bottom // cell, left // cell : right // cell] += logits
            count[:, :, top // cell : bottom // cell, left // cell : right // cell] += 1
    logits, attention = context_of(network, batch)
    return grown((1 - attention) * logits) + grown(attention) * (total / count), total / count


def test_fusion_by_hand():
    """Context (0, 4), attention (1, 0), detail 8 on the left: 0 1 3 4 plus 8 times 1 3/4 1/4 0, where there is detail.

    With (1 - a) c = (0, 4) grown to 0, 1, 3, 4.
    """
    context, attention = torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    detail = spread([torch.full((1, 1, 1, 2), 8.0)], [(0, 0, 2, 4)], (2, 8))
    assert detail.flatten().tolist() == [8, 8, 0, 0]
    assert fused(context, detail, attention).flatten().tolist() == [8, 7, 3, 4]
    assert covered([(0, 0, 2, 4)], (2, 8), attention).flatten().tolist() == [1, 0]


def test_details_are_averaged_by_hand():
    """Two boxes that share the middle cell: 2, (2 + 6) / 2, 6."""
    logits = [torch.full((1, 1, 1, 2), value) for value in (2.0, 6.0)]
    boxes = [(0, 0, 4, 8), (0, 4, 4, 8)]
    assert spread(logits, boxes, (4, 12)).flatten().tolist() == [2, 4, 6]
    assert hull(boxes) == (0, 0, 4, 12)


def test_box_in_cells():
    """Pixels over pixels per cell; a box that ends within a cell is refused."""
    assert in_cells((8, 16, 16, 24), (32, 64), (4, 8)) == (1, 2, 2, 3)
    with pytest.raises(ValueError, match="ends within a cell"):
        in_cells((4, 16, 16, 24), (32, 64), (4, 8))


@pytest.mark.parametrize("classwise", [True, False])
@torch.no_grad()
def test_training_fuses_one_crop(classwise):
    """Logits are those of the formula, with the crop in a map of zeros and an attention of 0 outside it."""
    network = at_random(build("hrda", attention_classwise=classwise)).eval()
    batch = images(*WIDE)
    features = network.encode(batch, stream=stream(2))
    (part,) = features.parts.values()
    top, left, height, width = part.box
    assert (height, width, part.scale) == (16, 16, 1.0) and list(features.parts) == ["detail"]
    logits, attention = context_of(network, batch)
    mask = torch.zeros_like(logits)
    mask[:, :, top // 8 : (top + 16) // 8, left // 8 : (left + 16) // 8] = 1
    crop = network.inner.decode(network.inner.encode(batch[:, :, top : top + 16, left : left + 16])).logits
    right, below = (WIDE[1] - left - 16) // 4, (WIDE[0] - top - 16) // 4
    inserted = F.pad(crop, (left // 4, right, top // 4, below))
    expected = grown((1 - mask * attention) * logits) + grown(mask * attention) * inserted
    assert attention.shape[1] == (3 if classwise else 1) and attention.std() > 0.05
    torch.testing.assert_close(network.decode(features).fused.logits, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_sliding_equals_a_loop():
    """At test time, windows that pass together give what windows one by one give, and attention acts everywhere."""
    network = at_random(build("hrda")).eval()
    features = network.encode(images(*WIDE))
    assert list(features.parts) == [f"detail.{number}" for number in range(21)]
    assert [features.parts[f"detail.{n}"].box for n in (0, 6, 20)] == [
        (0, 0, 16, 16),
        (0, 48, 16, 16),
        (16, 48, 16, 16),
    ]
    prediction, (expected, details) = network.decode(features), written_out(network, images(*WIDE))
    torch.testing.assert_close(prediction.fused.logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prediction.detail.logits, details, rtol=1e-5, atol=1e-5)
    assert prediction.box == (0, 0, *WIDE)


@torch.no_grad()
def test_attention_is_zero_outside_the_crop():
    """A cell of the context away from the crop, the fused logits are the context's, whatever attention and crop say."""
    network = build("hrda").eval()
    network.attention.classifier.bias.data.fill_(50)
    features = network.encode(images(*WIDE), stream=stream())
    top, left, height, width = (edge // 4 for edge in features.parts["detail"].box)
    outside = torch.ones(8, 16, dtype=torch.bool)
    outside[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1] = False
    logits, given = grown(context_of(network, images(*WIDE))[0]), network.decode(features).fused.logits
    torch.testing.assert_close(given[..., outside], logits[..., outside])
    inside = (slice(None), slice(None), slice(top + 1, top + height - 1), slice(left + 1, left + width - 1))
    crop = network.inner.decode(features.parts["detail"].features).logits
    torch.testing.assert_close(given[inside], crop[:, :, 1:-1, 1:-1], rtol=1e-5, atol=1e-5)


def test_crop_is_anywhere_on_the_grid():
    """Corners are multiples of 8, each as likely, the last place included; a short side gives all of it."""
    boxes = [random_box((48, 32), 16, unit=8, stream=stream(seed)) for seed in range(1500)]
    tops, lefts = zip(*(box[:2] for box in boxes), strict=True)
    assert {box[2:] for box in boxes} == {(16, 16)}
    assert set(tops) == {0, 8, 16, 24, 32} and set(lefts) == {0, 8, 16}
    assert all(abs(tops.count(top) - 300) < 75 for top in set(tops))
    assert all(abs(lefts.count(left) - 500) < 90 for left in set(lefts))
    assert len(set(zip(tops, lefts, strict=True))) == 15
    assert random_box((8, 16), 16, unit=8, stream=stream()) == (0, 0, 8, 16)


def test_crop_depends_on_the_stream_alone():
    """Equal streams give equal boxes whatever images, mode and global generator; other streams give others."""
    network = build("hrda")
    box = network.encode(images(*WIDE), stream=stream(5)).parts["detail"].box
    torch.rand(3)
    assert network.eval().encode(images(*WIDE, seed=9, batch=4), stream=stream(5)).parts["detail"].box == box
    assert len({network.encode(images(*WIDE), stream=stream(n)).parts["detail"].box for n in range(9)}) > 3


def test_crops_fit_the_cells_of_the_context():
    """Where a cell of the context is wider than `divisible`, corners are multiples of the cell."""
    assert build("hrda", divisible=2).unit == 8  # logits of stride 4, seen at half size
    assert build("hrda", divisible=12).unit == 24
    assert build("hrda", context_scale=0.25, detail_stride=16).unit == 16


@torch.no_grad()
def test_other_reduction():
    """At a quarter, the context has a quarter of the sides, and strides and multiple are four times the inner one's."""
    network = build("hrda", context_scale=0.25, detail_stride=16).eval()
    assert [spec.stride for spec in network.describe().maps] == [16, 32] and network.describe().multiple == 32
    features = network.encode(images(64, 64))
    inner = network.inner.encode(F.interpolate(images(64, 64), (16, 16), mode="bilinear", align_corners=False))
    assert all(torch.equal(features.maps[key], value) for key, value in inner.maps.items())
    assert network.decode(features).scores((64, 64)).shape == (2, 3, 64, 64)


def test_loss_by_formula():
    """0.7 of the cross entropy of what is fused, and 0.3 of the crop's on its labels and weights."""
    network = build("hrda", detail_loss=0.3).eval()
    features = network.encode(images(*WIDE), stream=stream(2))
    prediction, truth, weights = network.decode(features), labels(*WIDE), torch.rand(2, *WIDE, generator=stream())
    truth[:, ::3] = 255
    top, left, height, width = features.parts["detail"].box
    crop = network.inner.decode(features.parts["detail"].features).scores((height, width))
    rows, columns = slice(top, top + height), slice(left, left + width)
    terms = prediction.loss(truth, weights)
    expected = {
        "cross_entropy": 0.7 * weighted_mean(prediction.scores(WIDE), truth, weights),
        "detail": 0.3 * weighted_mean(crop, truth[:, rows, columns], weights[:, rows, columns]),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    assert list(replace(prediction, detail_loss=0.0).loss(truth)) == ["cross_entropy"]


def weighted_mean(scores, truth, weights):
    """Cross entropy over the labelled pixels."""
    inside = truth != 255
    log = scores.log_softmax(1).gather(1, truth.where(inside, torch.zeros_like(truth))[:, None])[:, 0]
    return -(log * weights)[inside].sum() / inside.sum()


@torch.no_grad()
def test_without_parts_the_context_remains():
    """Features whose parts were taken away give the context's scores and its whole loss, also in training."""
    network = build("hrda", **TOY)
    alone = replace(network.encode(images(*WIDE), stream=stream()), parts={})
    context = network.inner.decode(network.inner.encode(network.reduced(images(*WIDE))))
    prediction, truth = network.decode(alone), labels(*WIDE)
    assert torch.equal(prediction.scores(WIDE), context.scores(WIDE))
    assert prediction.loss(truth) == context.loss(truth)


@pytest.mark.parametrize("seed", [None, 3])
@torch.no_grad()
def test_each_map_of_each_view_counts(seed):
    """A change of a map of the context or of a part changes the scores, in training as when sliding."""
    network = at_random(build("hrda")).eval()
    features = network.encode(images(*WIDE), stream=seed and stream(seed))
    before = network.decode(features).scores(WIDE)
    for name, value in features.maps.items():
        assert not torch.equal(before, network.decode(features.with_maps({name: value + 1})).scores(WIDE)), name
    for name, part in features.parts.items():
        for key, value in part.features.maps.items():
            changed = replace(part, features=part.features.with_maps({key: value + 1}))
            assert not torch.equal(before, network.decode(features.with_parts({name: changed})).scores(WIDE)), name


def test_attention_learns_from_what_is_fused():
    """The fused term has a gradient for every parameter of the attention, the detail's for none."""
    network = at_random(build("hrda")).train()
    for name, learns in (("detail", False), ("cross_entropy", True)):
        network.zero_grad()
        network.decode(network.encode(images(*WIDE), stream=stream())).loss(labels(*WIDE))[name].backward()
        assert {parameter.grad is not None for parameter in network.attention.parameters()} == {learns}
        assert network.inner.encoder.conv1.weight.grad.abs().sum() > 0


def test_maps_makes_no_details():
    """`maps` is the context's alone: one pass of the inner network, equal to encode's."""
    network = build("hrda").eval()
    full, seen = network.encode(images(*WIDE)).maps, counted(network)
    assert all(torch.equal(full[name], value) for name, value in network.maps(images(*WIDE)).items())
    assert seen == [(2, 16, 32)]


def counted(network):
    """Sizes (B, H, W) of what enters the inner network from now on."""
    seen, encode = [], network.inner.encode
    network.inner.encode = lambda x, **options: seen.append((len(x), *x.shape[2:])) or encode(x, **options)
    return seen


@pytest.mark.parametrize(
    ("norm", "passes"), [("batch", [(42, 16, 16)]), ("running", [(18, 16, 16), (18, 16, 16), (6, 16, 16)])]
)
def test_teacher_slides(norm, passes):
    """A teacher sees windows all over the image: in training mode all at once, as its batch norm reads them together.

    With running statistics nine windows pass at a time.
    """
    teacher = Teacher(build("hrda"), 0.9, norm=norm)
    assert teacher.segmenter.training == (norm == "batch")
    once = teacher.probabilities(images(*WIDE))
    torch.rand(3)
    seen = counted(teacher.segmenter)
    assert torch.equal(teacher.probabilities(images(*WIDE)), once)
    assert seen == [(2, 16, 32), *passes]


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
    declared = Component(network, plugin_example.ToySettings, f"test_hrda:{network}", version=1)
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


@pytest.mark.parametrize("settings", [{}, {"teacher_norm": "running"}])
def test_resume_with_crops_and_a_teacher(tmp_path, settings):
    """Killed in the middle, a run with random crops and a sliding teacher ends with the unbroken run's bytes."""
    recipe = {"steps": 6, "batch": 2, "precision": "bf16", "network": {"inner": {"kind": "toy"}}}
    terms = [("dacs", settings), ("toy-kill", {})]
    job = tiny_jobs.make_job(tmp_path, segmenter="hrda", adaptations=terms, target="images", **recipe)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=4)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]
