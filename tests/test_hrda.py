"""HRDA: context, details and their fusion against formulas written here; its loss, its teacher, and its resume."""

from dataclasses import replace

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from test_contract import build, images, labels
from tiny_runs import fit, interrupted

from xdseg.segmenters.hrda.boxes import hull, in_cells, random_box
from xdseg.segmenters.hrda.fusion import covered, fused, spread
from xdseg.training.teacher import Teacher

TOY = {"inner": {"kind": "toy", "dropout": 0}}
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


@pytest.mark.parametrize("settings", [{}, {"teacher_norm": "running"}])
def test_resume_with_crops_and_a_teacher(tmp_path, settings):
    """Killed in the middle, a run with random crops and a sliding teacher ends with the unbroken run's bytes."""
    recipe = {"steps": 6, "batch": 2, "precision": "bf16", "network": {"inner": {"kind": "toy"}}}
    terms = [("dacs", settings), ("toy-kill", {})]
    job = tiny_jobs.make_job(tmp_path, segmenter="hrda", adaptations=terms, target="images", **recipe)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=4)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]
