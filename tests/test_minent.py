"""MinEnt: its entropy map and mean by hand, its levels, its gradient, and what it may see."""

import math

import pytest
import tiny_jobs
import torch
from plugin_example import Toy
from safetensors.torch import load_file
from tiny_runs import fit
from two_heads import module_with, step_of

from xdseg.adaptations.entropy import self_information
from xdseg.adaptations.minent import mean_entropy
from xdseg.data.tensors import normalise
from xdseg.settings.minent import MinEnt as Settings
from xdseg.training.loop import Run


def pixel(*probabilities):
    """One pixel's probabilities as (1, K, 1, 1), whose gradient can be asked for."""
    return torch.tensor(probabilities).view(1, -1, 1, 1).requires_grad_()


def test_map_of_equal_probabilities():
    """Each of K classes with 1/K has -1/K log2(1/K) / log2 K = 1/K, so a pixel's entropy is 1."""
    torch.testing.assert_close(self_information(pixel(*[0.25] * 4)), pixel(*[0.25] * 4))
    torch.testing.assert_close(self_information(pixel(*[0.05] * 20)).sum(), torch.tensor(1.0))


def test_map_by_hand():
    """Of (1/2, 1/4, 1/4, 0) in bits: 1/2, 1/2, 1/2 and 0, over log2 4 = 2."""
    found = self_information(pixel(0.5, 0.25, 0.25, 0.0))
    assert found.flatten().tolist() == [0.25, 0.25, 0.25, 0.0]


def test_certain_pixels_have_no_entropy():
    """One class with all probability: exactly 0 everywhere, and gradients are finite."""
    certain = pixel(0.0, 1.0, 0.0)
    found = self_information(certain)
    assert found.flatten().tolist() == [0, 0, 0]
    found.sum().backward()
    assert torch.isfinite(certain.grad).all()
    assert certain.grad[0, 0].item() > 0 > certain.grad[0, 1].item()  # away from certainty, entropy rises


def test_gradient_of_the_map():
    """d(-p log2 p)/dp = -(log2 p + 1/ln 2): of p = 1/2 among two classes 1 - 1/ln 2."""
    half = pixel(0.5, 0.5)
    self_information(half).sum().backward()
    assert half.grad.flatten().tolist() == pytest.approx([1 - 1 / math.log(2)] * 2)


def test_mean_counts_pixels_of_the_image_alone():
    """Pixels of entropy 1, 0 and 1, the last of them padding: 1/2. Padding alone: 0, without gradient."""
    probabilities = torch.tensor([[0.5, 1.0, 0.5], [0.5, 0.0, 0.5]]).view(1, 2, 1, 3).requires_grad_()
    inside = torch.tensor([[[True, True, False]]])
    assert mean_entropy(probabilities, inside).item() == 0.5
    mean_entropy(probabilities, inside).backward()
    assert probabilities.grad[..., 2].abs().sum() == 0 < probabilities.grad[..., 0].abs().sum()
    probabilities.grad = None
    nothing = mean_entropy(probabilities, torch.zeros_like(inside))
    nothing.backward()
    assert nothing.item() == 0 == probabilities.grad.abs().sum()


def test_terms_of_both_levels(tmp_path):
    """Each level's mean entropy of softmax at the images' size, by torch's own distribution, times its weight."""
    module = module_with("minent", {"weight": 0.5, "auxiliary_weight": 0.25})
    step = step_of(module, tmp_path)
    terms = module.adaptations["minent"].losses(step)
    assert list(terms) == ["entropy", "entropy_middle"]
    prediction = step.student("target").prediction
    inside = step.target.images.abs().amax(1) > 0.02  # the padding's colour is 0 after normalisation, but for rounding
    for term, level, weight in (("entropy", prediction, 0.5), ("entropy_middle", prediction.auxiliary["middle"], 0.25)):
        logits = level.scores((32, 32)).permute(0, 2, 3, 1)
        nats = torch.distributions.Categorical(logits=logits).entropy()
        torch.testing.assert_close(terms[term], weight * nats[inside].mean() / math.log(3))


def test_padding_does_not_count(tmp_path):
    """A band of padding below the target: the term is the mean over the rest."""
    module = module_with("minent", {"weight": 1}, segmenter=Toy)
    step = step_of(module, tmp_path)
    padding = normalise(torch.tensor((124, 116, 104), dtype=torch.uint8).view(3, 1, 1))
    step.target.images[:, :, 24:] = padding
    term = module.adaptations["minent"].losses(step)["entropy"]
    bits = self_information(step.student("target").prediction.probabilities((32, 32))).sum(1)
    torch.testing.assert_close(term, bits[:, :24].mean())
    assert not torch.isclose(term, bits.mean())


def test_published_weights():
    """1e-3 for the last prediction, 2e-4 for that of an earlier map."""
    assert Settings().model_dump() == {"weight": 1e-3, "auxiliary_weight": 2e-4}


@pytest.mark.parametrize(
    ("settings", "wanted", "passes"),
    [
        ({}, ["entropy", "entropy_middle"], 1),
        ({"weight": 0}, ["entropy_middle"], 1),
        ({"auxiliary_weight": 0}, ["entropy"], 1),
        ({"weight": 0, "auxiliary_weight": 0}, [], 0),
    ],
)
def test_weight_zero_leaves_a_level_out(tmp_path, monkeypatch, settings, wanted, passes):
    """A level of weight 0 has no term; with both at 0 the target makes no pass. The source makes none for it."""
    module, seen = module_with("minent", settings), []
    encode = module.segmenter.encode
    monkeypatch.setattr(module.segmenter, "encode", lambda *a, **k: seen.append(a) or encode(*a, **k))
    assert list(module.adaptations["minent"].losses(step_of(module, tmp_path))) == wanted
    assert len(seen) == passes


def test_training_sharpens_the_target(tmp_path):
    """With a large weight the target's entropy ends clearly below that of the host without the term."""
    ends = {}
    for weight in (0, 5):
        job = tiny_jobs.make_job(tmp_path, adaptations=[("minent", {"weight": weight})], target="images", steps=20)
        fit(job, tmp_path / f"{weight}")
        module = module_with("minent", {"weight": 1}, segmenter=Toy).eval()
        module.segmenter.load_state_dict(load_file(tmp_path / f"{weight}" / "weights.safetensors"))
        ends[weight] = module.adaptations["minent"].losses(step_of(module, tmp_path))["entropy"].item()
    assert ends[5] < 0.75 * ends[0]


def test_labels_of_the_target_are_not_read(tmp_path):
    """Without labels granted the target has none; where it has some, garbage in them moves no bit of the terms."""
    module = module_with("minent")
    plain, labelled = step_of(module, tmp_path), step_of(module, tmp_path, target="labels")
    assert not hasattr(plain.target, "labels")
    labelled.target.labels.fill_(1)
    terms = [module.adaptations["minent"].losses(step) for step in (plain, labelled)]
    assert {key: value.item() for key, value in terms[0].items()} == {k: v.item() for k, v in terms[1].items()}


def test_saved_keys_are_the_hosts(tmp_path):
    """Nothing is saved for prediction beside the segmenter, and there is nothing to optimise."""
    run = Run(tiny_jobs.make_job(tmp_path, adaptations=[("minent", {})], target="images"), tmp_path, tiny_jobs.CPU)
    assert set(run.module.inference_state()) == set(run.module.segmenter.state_dict())
    assert run.module.adaptations["minent"].parameter_groups(run.job.training) == []
