"""What a step gives of the network in training: features alone, and predictions for changed features."""

import pytest
import tiny_jobs
import torch

from xdseg.data.loading import StepBatches
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared


def step_of(tmp_path, **options):
    """The first step of a run of `dacs`."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[("dacs", {})], target="images", **options)
    return Step(Run(job, tmp_path / "run", tiny_jobs.CPU).module, prepared(StepBatches(job)[0]))


@pytest.mark.parametrize("segmenter", ["toy", "daformer", "eomt"])
def test_who_asks_first_changes_no_bit(tmp_path, segmenter):
    """A student's pass with dropout is the same whether its features were asked for before it, after it or not."""
    alone, early = (step_of(tmp_path, segmenter=segmenter) for _ in range(2))
    wanted = alone.student("target")
    assert alone.features("target") is wanted.features
    features = early.features("target")
    early.decode(features, "between")
    early.student("source")
    found = early.student("target")
    assert found.features is features
    assert all(torch.equal(value, found.features.maps[name]) for name, value in wanted.features.maps.items())
    assert torch.equal(found.prediction.scores((32, 32)), wanted.prediction.scores((32, 32)))
    labels = early.pseudo_labels().labels
    ours, theirs = (sum(given.prediction.loss(labels).values()) for given in (found, wanted))
    assert torch.equal(ours, theirs)


def test_decoding_draws_by_its_name_alone(tmp_path):
    """Equal names give equal dropout whatever was passed before; other names and the student's pass give another."""
    step = step_of(tmp_path, network={"dropout": 0.5})
    features = step.features("target")
    first = step.decode(features, "one").logits
    others = [step.decode(features, "two").logits, step.student("target").prediction.logits]
    assert torch.equal(first, step.decode(features, "one").logits)
    assert not any(torch.equal(first, other) for other in others)


def test_frozen_decoding_is_decoding(tmp_path):
    """The same bits; a gradient for the maps and none for any parameter, which take one again afterwards."""
    step = step_of(tmp_path)
    features = step.features("target")
    leaves = {name: value.detach().requires_grad_() for name, value in features.maps.items()}
    changed = features.with_maps(leaves)
    frozen, plain = step.decode(changed, "one", frozen=True).logits, step.decode(changed, "one").logits
    assert torch.equal(frozen, plain)
    toy = step._module.segmenter
    frozen.sum().backward()
    assert all(value.grad.any() for value in leaves.values()) and all(p.grad is None for p in toy.parameters())
    plain.sum().backward()
    assert toy.head.weight.grad.any()


def test_teachers_features_need_a_teacher(tmp_path):
    """The averaged network's maps, without gradient; where no adaptation declared a teacher, an error says so."""
    step = step_of(tmp_path)
    given = step.teacher_features("target")
    assert given is step.teacher_features("target") and not given.maps["deep"].requires_grad
    wanted = step._module.teacher.segmenter.encode(step.target.images).maps["deep"]
    assert torch.equal(given.maps["deep"], wanted)
    step._module.teacher = None
    with pytest.raises(LookupError, match=r"must declare Needs\(teacher="):
        step.teacher_features("source")
