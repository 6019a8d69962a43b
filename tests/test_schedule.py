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
