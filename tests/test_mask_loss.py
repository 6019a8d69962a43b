"""The set loss of mask classifiers against formulas, worked examples and transformers' Mask2Former."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from xdseg.segmenters import mask_loss, matching
from xdseg.segmenters.mask_prediction import MaskPrediction, point_stream
from xdseg.segmenters.matching import assign, classes_present, costs
from xdseg.segmenters.points import corners, pixel_weights, sample, uncertain_points
from xdseg.settings.mask_loss import SetLoss

SMALL = SetLoss(points=40)


def random_prediction(batch=2, queries=6, classes=4, size=(7, 9), predictions=2, seed=0, settings=SMALL, scale=3.0):
    """Mask and class logits that ask for gradients."""
    draws = torch.Generator().manual_seed(seed)

    def logits(*shape):
        return [(scale * torch.randn(shape, generator=draws)).requires_grad_() for _ in range(predictions)]

    return MaskPrediction(logits(batch, queries, *size), logits(batch, queries, classes + 1), settings)


def random_labels(*shape, classes=4, ignored=0.2, seed=1):
    """Labels of which some are ignored."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, shape, generator=draws)
    return torch.where(torch.empty(shape).uniform_(generator=draws) < ignored, 255, labels)


@pytest.fixture
def same_points(monkeypatch):
    """Every row of points is the beginning of one table, in our code and in that of others."""
    table = torch.rand(4000, 2, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(torch, "rand", lambda rows, number, two, **_: table[:number].expand(rows, number, two).clone())
    return table


def values(terms):
    """Terms as numbers."""
    return {name: value.item() for name, value in terms.items()}


def test_masks_at_points_are_those_of_sampled_masks():
    """Reading labels gives what bilinear sampling of one mask per class gives, at the border and beside void too."""
    labels = random_labels(2, 5, 7)
    points = torch.rand(2, 50, 2, generator=torch.Generator().manual_seed(2))
    points[:, :4] = torch.tensor([[0.0, 0.0], [0.999, 0.999], [0.02, 0.5], [0.5, 0.99]])
    masks = torch.stack([(labels == number).float() for number in range(4)], dim=1)
    expected = F.grid_sample(masks, 2 * points[:, None] - 1, align_corners=False)[:, :, 0]
    found = corners(labels, points, torch.arange(2))
    torch.testing.assert_close(found.all_masks(4), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.masks(torch.tensor([3, 1])), expected[[0, 1], [3, 1]], rtol=0, atol=1e-6)


def test_mask_at_a_point_by_hand():
    """Between pixels of classes 0, 1 / 255, 0 the centre is half in class 0 and a quarter in class 1."""
    found = corners(torch.tensor([[[0, 1], [255, 0]]]), torch.tensor([[[0.5, 0.5]]]), torch.tensor([0]))
    assert found.all_masks(2).flatten().tolist() == [0.5, 0.25]


def test_sampling_a_map_by_hand():
    """A 1 x 2 map (0, 4): 0, 1 and 4 at its pixels' centres and between; towards the border it fades to 0."""
    points = torch.tensor([[[0.25, 0.5], [0.375, 0.5], [0.75, 0.5], [1.0, 0.5]]])
    assert sample(torch.tensor([[[[0.0, 4.0]]]]), points).flatten().tolist() == [0, 1, 4, 2]


def test_weights_are_those_of_the_pixel_that_holds_the_point():
    """No mixture: of a row of pixels 1, 2 a point left of the middle has 1, one right of it or on the edge has 2."""
    points = torch.tensor([[[0.49, 0.5], [0.51, 0.1], [1.0, 1.0]]])
    assert pixel_weights(torch.tensor([[[1.0, 2.0]]]), points, torch.tensor([0])).tolist() == [[1, 2, 2]]


def test_three_quarters_of_the_points_are_the_least_certain():
    """Of 3 x 40 candidates the 30 whose logits are nearest 0 are taken, and 10 more anywhere."""
    ramp = torch.linspace(-1, 1, 33).expand(1, 33, 33)
    draws = torch.Generator().manual_seed(3)
    points = uncertain_points(ramp, SMALL, stream=draws)
    again = torch.Generator().manual_seed(3)
    candidates, rest = torch.rand(1, 120, 2, generator=again), torch.rand(1, 10, 2, generator=again)
    nearest = sample(ramp[:, None], candidates)[0, 0].abs().argsort()[:30]
    assert sorted(points[0, :30].tolist()) == sorted(candidates[0, nearest].tolist())
    assert torch.equal(points[:, 30:], rest)


def test_loss_by_hand(monkeypatch):
    """One class covers the image. Masks of probability 1/2 and 3/4, equal classes: the second query is matched.

    At 4 points inside: entropy ln(4/3), dice 1 - (2*3 + 1) / (3 + 4 + 1) = 1/8; each class has probability 1/3.
    """
    settings = SetLoss(points=4)
    inside = lambda rows, number, **_: torch.full((rows, number, 2), 0.5)  # noqa: E731
    monkeypatch.setattr(matching, "draw", inside)
    monkeypatch.setattr("xdseg.segmenters.points.draw", inside)
    masks = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    prediction = MaskPrediction([masks], [torch.zeros(1, 2, 3)], settings)
    found = values(prediction.loss(torch.ones(1, 4, 4, dtype=torch.int64)))
    expected = {"class": 2 * math.log(3), "mask": 5 * math.log(4 / 3), "dice": 5 / 8}
    assert found == pytest.approx(expected, rel=1e-6)


def test_class_term_weighs_queries_without_a_mask_less():
    """Matched: weight 1, cross entropy ln 4; unmatched: weight 0.1, ln(4/3). Mean (ln 4 + 0.1 ln(4/3)) / 1.1."""
    scores = torch.tensor([[[0.0, math.log(3)], [0.0, math.log(3)]]])  # of one class and "no object"
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    pairs = matching.Pairs(*torch.tensor([[0], [0], [0]]))
    means = mask_loss.mean_weights(labels, torch.ones(1, 2, 2), 1)
    found = mask_loss.class_loss(scores, pairs, labels, means, SMALL)
    assert found.item() == pytest.approx((math.log(4) + 0.1 * math.log(4 / 3)) / 1.1)


@pytest.mark.parametrize(("queries", "classes"), [(5, 3), (3, 5), (4, 4)])
def test_assignment_is_the_cheapest_of_all(queries, classes):
    """Among all ways to pair queries with the classes present, no one costs less; each is used once at most."""
    table = torch.rand(2, queries, classes, generator=torch.Generator().manual_seed(queries))
    present = torch.ones(2, classes, dtype=torch.bool)
    present[1, 1] = False
    found = assign(table, present)
    for image in range(2):
        ids = present[image].nonzero()[:, 0].tolist()
        _, rows, columns = found[:, found[0] == image]
        pairs = min(queries, len(ids))
        assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows) == pairs
        assert set(columns.tolist()) <= set(ids)
        ways = (
            zip(chosen, taken, strict=True)
            for chosen in itertools.permutations(range(queries), pairs)
            for taken in itertools.combinations(ids, pairs)
        )
        cheapest = min(sum(table[image, q, c].item() for q, c in way) for way in ways)
        assert table[image, rows, columns].sum().item() == pytest.approx(cheapest)


def test_costs_by_direct_formula():
    """5 x mean binary cross entropy + 5 x dice - 2 x probability, for each pair by itself."""
    draws = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(1, 3, 20, generator=draws), torch.rand(1, 2, 20, generator=draws)
    shares = torch.rand(1, 3, 2, generator=draws)
    found = costs(logits, truth, shares, SetLoss())
    for query, number in itertools.product(range(3), range(2)):
        x, t = logits[0, query], truth[0, number]
        p = x.sigmoid()
        entropy = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
        dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        torch.testing.assert_close(found[0, query, number], 5 * entropy + 5 * dice - 2 * shares[0, query, number])


def test_classes_present():
    """Void is no class, and an image of void has none."""
    labels = torch.tensor([[[0, 2], [255, 2]], [[255, 255], [255, 255]]])
    assert classes_present(labels, 3).tolist() == [[True, False, True], [False, False, False]]


def test_loss_equals_transformers_mask2former(same_points):
    """With shared points, terms and gradients of one prediction equal Mask2FormerLoss within 1e-5, void included."""
    settings = SetLoss(points=100)
    prediction = random_prediction(predictions=1, settings=settings)
    labels = random_labels(2, 14, 18)
    config = Mask2FormerConfig(num_labels=4, train_num_points=100, no_object_weight=0.1)
    theirs = Mask2FormerLoss(config, weight_dict={})
    present = [labels[image].unique()[:-1] for image in range(2)]  # the last is 255
    masks = [torch.stack([(labels[i] == n).float() for n in ids]) for i, ids in enumerate(present)]
    expected = theirs(prediction.masks[0], prediction.classes[0], masks, present)
    found = prediction.loss(labels)
    for ours, name, weight in (("class", "cross_entropy", 2), ("mask", "mask", 5), ("dice", "dice", 5)):
        torch.testing.assert_close(found[ours], weight * expected[f"loss_{name}"], rtol=1e-5, atol=1e-5)
    wanted = torch.autograd.grad(
        sum(weight * expected[f"loss_{name}"] for name, weight in (("cross_entropy", 2), ("mask", 5), ("dice", 5))),
        [prediction.masks[0], prediction.classes[0]],
    )
    gradients = torch.autograd.grad(sum(found.values()), [prediction.masks[0], prediction.classes[0]])
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_predictions_add_up(same_points):
    """Several predictions are matched each by itself, and all count in full."""
    both, labels = random_prediction(predictions=2), random_labels(2, 14, 18)
    parts = [
        values(MaskPrediction([masks], [classes], SMALL).loss(labels))
        for masks, classes in zip(both.masks, both.classes, strict=True)
    ]
    assert values(both.loss(labels)) == pytest.approx({name: parts[0][name] + parts[1][name] for name in parts[0]})


def test_weights_scale_each_term():
    """Weights of 1 leave the bits, halved weights halve each term, weights of 0 leave nothing and no gradient."""
    prediction, labels = random_prediction(), random_labels(2, 14, 18)
    plain = values(prediction.loss(labels))
    assert values(prediction.loss(labels, torch.ones(2, 14, 18))) == plain
    halved = values(prediction.loss(labels, torch.full((2, 14, 18), 0.5)))
    assert halved == pytest.approx({name: value / 2 for name, value in plain.items()}, rel=1e-6)
    nothing = prediction.loss(labels, torch.zeros(2, 14, 18))
    assert values(nothing) == {"class": 0, "mask": 0, "dice": 0}
    sum(nothing.values()).backward()
    assert all(not logits.grad.any() for logits in [*prediction.masks, *prediction.classes])


def test_pixels_of_weight_zero_do_not_matter():
    """Where the right half of the images weighs nothing, no mask gets a gradient in it, but for the seam."""
    prediction, labels = random_prediction(size=(8, 8), settings=SetLoss(points=400)), random_labels(2, 16, 16)
    weights = torch.ones(2, 16, 16)
    weights[..., 8:] = 0
    terms = prediction.loss(labels, weights)
    (terms["mask"] + terms["dice"]).backward()
    assert not prediction.masks[0].grad[..., 5:].any() and prediction.masks[0].grad[..., :4].any()


def test_mean_weights_by_hand():
    """Of a class its own pixels, of an image its labelled ones; and the masks of the batch are counted."""
    labels = torch.tensor([[[0, 0, 1, 255]], [[255, 255, 255, 255]]])
    weights = torch.tensor([[[1.0, 0.5, 0.25, 9.0]], [[1.0, 1.0, 1.0, 1.0]]])
    means = mask_loss.mean_weights(labels, weights, 3)
    assert means.classes.tolist() == [[0.75, 0.25, 0], [0, 0, 0]] and means.masks == 2
    assert means.images.tolist() == pytest.approx([1.75 / 3, 0])


def test_image_without_labels_has_no_part(same_points):
    """Beside a labelled image it changes no term, and its queries get no gradient."""
    both, labels = random_prediction(predictions=1), random_labels(2, 14, 18)
    labels[1] = 255
    alone = MaskPrediction([both.masks[0][:1]], [both.classes[0][:1]], SMALL).loss(labels[:1])
    found = both.loss(labels)
    assert values(found) == pytest.approx(values(alone), rel=1e-6)
    sum(found.values()).backward()
    assert not both.classes[0].grad[1].any() and not both.masks[0].grad[1].any()


def test_more_classes_than_queries(same_points):
    """Two queries for four classes: two are matched, and the sums are still divided by four masks."""
    prediction, labels = random_prediction(queries=2, predictions=1), random_labels(1, 14, 18, ignored=0)
    prediction = MaskPrediction([prediction.masks[0][:1]], [prediction.classes[0][:1]], SMALL)
    labels[0, 0, :4] = torch.arange(4)
    streams = [torch.Generator().manual_seed(0) for _ in range(2)]
    pairs = matching.match(prediction.masks, prediction.classes, labels, SMALL, stream=streams[0])[0]
    assert len(pairs.queries) == 2
    weights, means = torch.ones(1, 14, 18), mask_loss.mean_weights(labels, torch.ones(1, 14, 18), 4)
    assert means.masks == 4
    entropy, dice = mask_loss.mask_losses(prediction.masks[0], pairs, labels, weights, means, SMALL, stream=streams[1])
    assert values(prediction.loss(labels))["mask"] == pytest.approx(5 * entropy.item())
    assert 0 < dice < 2 / 4


def test_mask_that_no_point_meets():
    """A class of one pixel, which points miss: all terms are finite, and so are the gradients."""
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 0, 0] = 3
    prediction = random_prediction(batch=1, settings=SetLoss(points=2))
    total = sum(prediction.loss(labels).values())
    total.backward()
    assert total.isfinite() and all(logits.grad.isfinite().all() for logits in prediction.masks)


def test_overflow_does_not_stop_the_matching():
    """Infinite and missing logits cost at most 1e10, or 0; every class still gets a query of its own."""
    masks = torch.full((1, 3, 4, 4), torch.inf)
    masks[0, 1], masks[0, 2] = torch.nan, 65504.0
    scores = torch.tensor([[[torch.nan] * 3, [0.0] * 3, [60000.0, 0.0, 0.0]]])
    labels = torch.tensor([[[0, 1], [1, 0]]])
    pairs = matching.match([masks], [scores], labels, SMALL, stream=torch.Generator().manual_seed(0))[0]
    assert sorted(pairs.classes.tolist()) == [0, 1] and len(set(pairs.queries.tolist())) == 2
    found = costs(torch.full((1, 1, 4), 1e30), torch.zeros(1, 1, 4), torch.ones(1, 1, 1), SetLoss())
    assert found.item() == pytest.approx(1e10)


def test_half_precision_logits_are_compared_in_single():
    """The loss of logits in bfloat16 equals that of the same numbers in single precision, under autocast too."""
    prediction, labels = random_prediction(), random_labels(2, 14, 18)
    half = [[logits.bfloat16() for logits in part] for part in (prediction.masks, prediction.classes)]
    full = [[logits.float() for logits in part] for part in half]
    with torch.autocast("cpu", torch.bfloat16):
        found = values(MaskPrediction(*half, SMALL).loss(labels))
    assert found == values(MaskPrediction(*full, SMALL).loss(labels))


def test_scores_by_direct_formula():
    """Sum over queries of class probability, "no object" dropped, times the sigmoid of the resized mask logit."""
    prediction = random_prediction()
    found = prediction.scores((10, 12))
    masks = F.interpolate(prediction.masks[-1], (10, 12), mode="bilinear", align_corners=False)
    shares = prediction.classes[-1].exp() / prediction.classes[-1].exp().sum(-1, keepdim=True)
    for image, number in itertools.product(range(2), range(4)):
        expected = sum(shares[image, q, number] / (1 + (-masks[image, q]).exp()) for q in range(6))
        torch.testing.assert_close(found[image, number], expected, rtol=1e-5, atol=1e-6)


def test_pixel_that_no_mask_claims():
    """Probabilities are those of the scores; where all masks are far from 0 and 1 has no score, all are equal."""
    prediction = random_prediction()
    scores = prediction.scores((7, 9))
    torch.testing.assert_close(prediction.probabilities((7, 9)), scores / scores.sum(1, keepdim=True))
    empty = MaskPrediction([torch.full((1, 2, 1, 1), -1e4)], [torch.zeros(1, 2, 5)], SMALL)
    assert empty.probabilities((1, 1)).flatten().tolist() == [0.25] * 4


def test_loss_is_a_function_of_its_prediction():
    """Asked twice, and after other draws, it is the same; the global generator decides when the prediction is made."""
    made, labels = random_prediction(), random_labels(2, 14, 18)
    torch.manual_seed(4)
    first = MaskPrediction(made.masks, made.classes, SMALL, point_stream(True))
    plain = values(first.loss(labels))
    torch.rand(3)
    assert values(first.loss(labels)) == plain
    torch.manual_seed(4)
    assert values(MaskPrediction(made.masks, made.classes, SMALL, point_stream(True)).loss(labels)) == plain
    assert values(MaskPrediction(made.masks, made.classes, SMALL, point_stream(True)).loss(labels)) != plain
    before = torch.get_rng_state()
    assert point_stream(False) is None and torch.equal(torch.get_rng_state(), before)
