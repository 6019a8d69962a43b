"""Learning rates by hand."""

import pytest
import tiny_jobs
import torch

from xdseg.adaptations.build import build_adaptations
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.training import Training
from xdseg.training.optimisers import Optimisers
from xdseg.training.schedule import factor
from xdseg.training.train_step import TrainStep


def test_polynomial_decay_by_hand():
    """100 steps, power 0.9: full at the start, 0.5 to the 0.9 half-way, never 0 within the run."""
    recipe = Training(steps=100, lr=1, poly_power=0.9)
    assert factor(recipe, 0) == 1
    assert factor(recipe, 50) == pytest.approx(0.5358867)
    assert factor(recipe, 99) == pytest.approx(0.01**0.9)


def test_power_zero_is_constant():
    """Without decay the rate stays."""
    assert {factor(Training(steps=5, lr=1, poly_power=0), step) for step in range(5)} == {1}


def test_warm_up_by_hand():
    """100 steps, 10 of warm-up from a tenth: at step 5 half of the way, 0.55, times the decay's 0.95."""
    recipe = Training(steps=100, lr=1, warmup=0.1, warmup_start=0.1)
    assert factor(recipe, 0) == pytest.approx(0.1)
    assert factor(recipe, 5) == pytest.approx(0.95 * 0.55)
    assert factor(recipe, 10) == pytest.approx(0.9)


def test_groups_get_their_rates(tmp_path):
    """Half-way through 10 steps, encoder and adaptation-free head have 0.5 and 5 times the peak of 0.1."""
    job = tiny_jobs.make_job(tmp_path, lr=0.1, head_lr_factor=10)
    segmenter = build_segmenter("toy", job.segmenter_settings, job.classes, seed=0)
    module = TrainStep(segmenter, build_adaptations(job, segmenter.describe()), seed=0, total=10)
    optimisers = Optimisers(module, job.training, device=torch.device("cpu"))
    assert optimisers.set_rates(5) == pytest.approx(0.05)
    rates = {group["name"]: group["lr"] for group in optimisers.members[0].param_groups}
    assert rates == pytest.approx({"encoder.decay": 0.05, "encoder.plain": 0.05, "head.decay": 0.5, "head.plain": 0.5})


def test_rounds_must_divide_the_batch():
    """Accumulating over 3 rounds of a batch of 8 is refused."""
    with pytest.raises(ValueError, match="accumulate 3 does not divide batch 8"):
        Training(steps=1, lr=1, accumulate=3)


def test_a_fall_planned_for_more_steps_than_are_taken():
    """AdaptSegNet's schedule: 150,000 steps of a fall over 250,000; the last rate is (1 - 149999/250000)^0.9."""
    recipe = Training(steps=150_000, lr=1, poly_power=0.9, poly_steps=250_000)
    assert factor(recipe, 0) == 1
    assert factor(recipe, 149_999) == pytest.approx(0.438387, abs=1e-6)  # 0.400004^0.9
    with pytest.raises(ValueError, match="poly_steps 5 end before the 6 steps"):
        Training(steps=6, lr=1, poly_steps=5)


EOMT = Training(steps=19_902, lr=1e-4, poly_power=0.9, warmup_stages=(0.02512, 0.05025))  # 500 and 1,000 steps


@pytest.mark.parametrize(
    ("step", "head", "encoder"),
    [
        (0, 0, 0),
        (1, 0.002, 0),
        (250, 0.5, 0),
        (499, 0.998, 0),
        (500, 1, 0),
        (501, (19401 / 19402) ** 0.9, 0.001),
        (1000, 0.9767763, 0.5),  # (18902 / 19402)^0.9
        (1499, 0.9535378, 0.999),
        (1500, 0.9534912, 1),
        (10_201, 0.5358867, 0.5620259),  # head: half of 19,402 steps are left; encoder: 9701 of 18,402
        (10_701, 0.5109633, 0.5358867),
        (19_901, 1.3833694e-4, 1.4508465e-4),  # (1/19402)^0.9, (1/18402)^0.9
    ],
)
def test_two_stages_by_hand(step, head, encoder):
    """EoMT on Cityscapes: new parameters rise over 500 steps; the encoder rests for those and rises over 1,000."""
    assert factor(EOMT, step, part="head") == pytest.approx(head, rel=2e-7)
    assert factor(EOMT, step, part="encoder") == pytest.approx(encoder, rel=2e-7)


def test_stages_of_no_length():
    """A share of 0 leaves its stage out: without a second one the encoder starts at its peak when the head has it."""
    recipe = Training(steps=10, lr=1, warmup_stages=(0.2, 0))
    assert [factor(recipe, step) for step in (0, 1, 2, 6)] == [0, 0, 1, 0.5]
    assert [factor(recipe, step, part="head") for step in (0, 1, 2, 6)] == [0, 0.5, 1, 0.5]


def test_a_fall_in_stages_planned_for_more_steps():
    """Warm-up lasts shares of the steps that are taken; the fall ends where it is planned to."""
    recipe = Training(steps=10, lr=1, warmup_stages=(0.2, 0.2), poly_steps=20)
    assert factor(recipe, 8, part="head") == pytest.approx(1 - 6 / 18)
    assert factor(recipe, 8, part="encoder") == pytest.approx(1 - 4 / 16)


def test_both_parts_warm_up_alike_without_stages():
    """The plain warm-up knows no parts."""
    recipe = Training(steps=100, lr=1, warmup=0.1, poly_power=0.9)
    assert all(factor(recipe, step, part="head") == factor(recipe, step) for step in range(100))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": 0.1, "warmup_stages": (0.1, 0.1)}, "warmup and warmup_stages exclude each other"),
        ({"warmup_stages": (0.5, 0.5)}, r"warmup_stages \[0.5, 0.5\] leave no step for the fall"),
        ({"warmup_stages": (0.5, -0.1)}, "greater than or equal to 0"),
    ],
)
def test_stages_that_cannot_be(settings, message):
    """Two kinds of warm-up at once, and stages that fill the run."""
    with pytest.raises(ValueError, match=message):
        Training(steps=100, lr=1, **settings)


def test_new_settings_move_no_old_fingerprint():
    """At their defaults they are in no identity."""
    assert Training(steps=5, lr=1).identity() == {"steps": 5, "lr": 1.0}
    said = {"layer_decay": 0.8, "decay_all": True, "warmup_stages": [0.1, 0.2]}
    assert Training(steps=5, lr=1, **said).identity() == {"steps": 5, "lr": 1.0} | said


def test_stages_reach_the_groups(tmp_path):
    """In step 3 of 10, with stages of 2 and 4 steps: head at 7/8 of 1, encoder at 1/4 of 0.1, a term's own at 7/8."""
    job = tiny_jobs.make_job(
        tmp_path,
        adaptations=[("toy-entropy", {})],
        target="images",
        lr=0.1,
        head_lr_factor=10,
        warmup_stages=(0.2, 0.4),
    )
    segmenter = build_segmenter("toy", job.segmenter_settings, job.classes, seed=0)
    module = TrainStep(segmenter, build_adaptations(job, segmenter.describe()), seed=0, total=10)
    optimisers = Optimisers(module, job.training, device=torch.device("cpu"))
    assert optimisers.set_rates(3) == pytest.approx(0.025)
    rates = [(group["name"], group["lr"]) for group in optimisers.members[0].param_groups]
    assert [name for name, _ in rates] == ["encoder.decay", "encoder.plain", "head.decay", "head.plain", "head.decay"]
    assert [rate for _, rate in rates] == pytest.approx([0.025, 0.025, 0.875, 0.875, 0.875])
