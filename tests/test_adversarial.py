"""AdaptSegNet and AdvEnt: losses by hand, whom each term trains, optimiser, levels, and what is saved."""

import math
from copy import deepcopy

import pytest
import tiny_jobs
import torch
from pydantic import ValidationError
from tiny_runs import fit
from torch import nn
from two_heads import module_with, step_of

from xdseg.adaptations.entropy import self_information
from xdseg.data.loading import StepBatches
from xdseg.settings.adversarial import Adversarial as Settings
from xdseg.training.loop import Run

KIND = "adversarial"
SMALL = {"discriminator": {"channels": 4}}


def gradients(module):
    """Copies of all gradients by parameter."""
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def answer_always(discriminator, logit):
    """Make a discriminator give the same logit for whatever it sees."""
    last = discriminator.layers[-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, logit)


@pytest.mark.parametrize("logit", [0.0, 2.0])
@pytest.mark.parametrize("objective", ["vanilla", "least-squares"])
def test_losses_with_a_fixed_discriminator(tmp_path, objective, logit):
    """A logit x for all: softplus(x) to be source, softplus(-x) to be target; or x² and (1 - x)²."""
    module = module_with(KIND, SMALL | {"objective": objective, "weight": 0.5, "auxiliary_weight": 0.25})
    adaptation = module.adaptations[KIND]
    for discriminator in adaptation.discriminators.values():
        answer_always(discriminator, logit)
    terms = adaptation.losses(step_of(module, tmp_path))
    to_source, to_target = math.log(1 + math.exp(logit)), math.log(1 + math.exp(-logit))
    if objective == "least-squares":
        to_source, to_target = logit**2, (1 - logit) ** 2
    both = (to_source + to_target) / 2
    expected = {"adversarial": 0.5 * to_source, "discriminator": both}
    expected |= {"adversarial_middle": 0.25 * to_source, "discriminator_middle": both}
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected)


def test_what_discriminators_see(tmp_path):
    """Class probabilities at the images' size, or their self-information; of the level asked for."""
    for settings, changed in (({}, lambda p: p), ({"input": "self-information"}, self_information)):
        module = module_with(KIND, SMALL | settings)
        adaptation, step = module.adaptations[KIND], step_of(module, tmp_path)
        for view in ("source", "target"):
            prediction = step.student(view).prediction
            main, middle = (adaptation.maps(step, view, level) for level in ("main", "middle"))
            assert torch.equal(main, changed(prediction.scores((32, 32)).softmax(1)))
            assert torch.equal(middle, changed(prediction.auxiliary["middle"].scores((32, 32)).softmax(1)))


def test_segmenters_term_trains_the_segmenter_alone(tmp_path):
    """No discriminator gets a gradient from it, not even zeros; the heads and the encoder do."""
    module = module_with(KIND, SMALL)
    terms = module.adaptations[KIND].losses(step_of(module, tmp_path))
    (terms["adversarial"] + terms["adversarial_middle"]).backward()
    assert not gradients(module.adaptations)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(module.segmenter).values())
    assert set(gradients(module.segmenter)) == {name for name, _ in module.segmenter.named_parameters()}


def test_discriminators_term_trains_the_discriminator_alone(tmp_path):
    """The segmenter gets no gradient from it, and the discriminator of the other level neither."""
    module = module_with(KIND, SMALL)
    module.adaptations[KIND].losses(step_of(module, tmp_path))["discriminator_middle"].backward()
    assert not gradients(module.segmenter)
    found = gradients(module.adaptations[KIND].discriminators)
    assert found and all(name.startswith("middle.") for name in found)
    assert all(gradient.abs().sum() > 0 for gradient in found.values())


def published(module, step, settings):
    """Gradients as the released code makes them: pass after pass, with discriminators frozen, then thawed."""
    discriminators = module.adaptations[KIND].discriminators
    weights = {"main": settings.weight, "middle": settings.auxiliary_weight}
    criterion = nn.MSELoss() if settings.objective == "least-squares" else nn.BCEWithLogitsLoss()
    maps = {}
    for view in ("source", "target"):
        prediction = step.student(view).prediction
        maps[view] = {"main": prediction, "middle": prediction.auxiliary["middle"]}
        for level, seen in maps[view].items():
            maps[view][level] = seen.probabilities((32, 32))
            if settings.input == "self-information":
                maps[view][level] = -maps[view][level] * torch.log2(maps[view][level] + 1e-30) / math.log2(3)
    sum(step.student("source").prediction.loss(step.source.labels).values()).backward(retain_graph=True)
    discriminators.requires_grad_(False)
    for level, weight in weights.items():
        logits = discriminators[level](maps["target"][level])
        (weight * criterion(logits, torch.zeros_like(logits))).backward(retain_graph=True)
    discriminators.requires_grad_(True)
    for view, label in (("source", 0.0), ("target", 1.0)):
        for level in weights:
            logits = discriminators[level](maps[view][level].detach())
            (criterion(logits, torch.full_like(logits, label)) / 2).backward()


@pytest.mark.parametrize("input", ["probabilities", "self-information"])
@pytest.mark.parametrize("objective", ["vanilla", "least-squares"])
def test_one_backward_pass_equals_the_published_two(tmp_path, input, objective):
    """The sum of all terms gives both networks the released procedure's gradients, at weights that tell."""
    settings = SMALL | {"input": input, "objective": objective, "weight": 0.7, "auxiliary_weight": 0.3}
    module = module_with(KIND, settings)
    theirs = deepcopy(module)
    published(theirs, step_of(theirs, tmp_path), Settings(**settings))
    step = step_of(module, tmp_path)
    terms = module.supervised(step) | module.adaptations[KIND].losses(step)
    sum(terms.values()).backward()
    found, wanted = gradients(module), gradients(theirs)
    assert set(found) == set(wanted) == {name for name, _ in module.named_parameters()}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-7, msg=name)


def run_of(tmp_path, settings=None, **recipe):
    """A run on the toy that has not begun."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[(KIND, SMALL | (settings or {}))], target="images", **recipe)
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


def test_discriminator_has_its_own_adam(tmp_path):
    """Adam at 1e-4 with betas (0.9, 0.99) and no decay beside the host's optimiser; its rate falls with the run's."""
    run = run_of(tmp_path, optimizer="sgd", poly_power=0.9, head_lr_factor=10, betas=(0.5, 0.6))
    sgd, adam = run.optimisers.members
    assert isinstance(sgd, torch.optim.SGD) and type(adam) is torch.optim.Adam
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.9, 0.99), 0)
    assert group["params"] == list(run.module.adaptations[KIND].parameters())
    run.optimisers.set_rates(4)
    assert group["lr"] == pytest.approx(1e-4 * 0.6**0.9)
    assert sgd.param_groups[0]["lr"] == pytest.approx(1e-2 * 0.6**0.9)


def test_first_update_of_the_discriminator(tmp_path):
    """It moves each weight by the rate against its gradient's sign; moments hold 0.1 g and 0.01 g²."""
    run = run_of(tmp_path)
    before = deepcopy(run.module.adaptations)
    run.optimisers.set_rates(0)
    run.update(StepBatches(run.job)[0])
    (adam,) = [member for member in run.optimisers.members if type(member) is torch.optim.Adam]
    weight = run.module.adaptations[KIND].discriminators["main"].layers[0].weight
    old, state, gradient = before[KIND].discriminators["main"].layers[0].weight, adam.state[weight], weight.grad
    torch.testing.assert_close(state["exp_avg"], 0.1 * gradient, rtol=1e-5, atol=0)
    torch.testing.assert_close(state["exp_avg_sq"], 0.01 * gradient.square(), rtol=1e-5, atol=0)
    large = gradient.abs() > 1e-5  # where Adam's epsilon of 1e-8 does not tell
    assert large.float().mean() > 0.5
    torch.testing.assert_close((weight - old)[large], -1e-4 * gradient.sign()[large], rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [({}, ["main", "middle"]), ({"weight": 0}, ["middle"]), ({"auxiliary_weight": 0}, ["main"])],
)
def test_weight_zero_leaves_a_level_out(tmp_path, settings, levels):
    """A level of weight 0 has neither terms nor a discriminator; main's begins with the same draws in all cases."""
    module, whole = module_with(KIND, SMALL | settings), module_with(KIND, SMALL)
    adaptation = module.adaptations[KIND]
    names = {"main": ["adversarial", "discriminator"], "middle": ["adversarial_middle", "discriminator_middle"]}
    assert list(adaptation.discriminators) == levels
    assert list(adaptation.losses(step_of(module, tmp_path))) == [name for level in levels for name in names[level]]
    if "main" in levels:
        ours, theirs = (part.adaptations[KIND].discriminators["main"].layers[0].weight for part in (module, whole))
        assert torch.equal(ours, theirs)


def test_both_weights_zero_leave_nothing(tmp_path, monkeypatch):
    """No parameter, no group, no term and no pass of the target."""
    run = run_of(tmp_path, {"weight": 0, "auxiliary_weight": 0})
    seen, encode = [], run.module.segmenter.encode
    monkeypatch.setattr(run.module.segmenter, "encode", lambda *a, **k: seen.append(a) or encode(*a, **k))
    assert list(run.module(StepBatches(run.job)[0])) == ["source/cross_entropy"]
    assert len(seen) == len(run.optimisers.members) == 1
    assert not list(run.module.adaptations.parameters())


def test_passes_of_one_step(tmp_path, monkeypatch):
    """One pass of each domain serves the loss on labels and all terms; a single-level network has two of them."""
    run = run_of(tmp_path)
    seen, encode = [], run.module.segmenter.encode
    monkeypatch.setattr(run.module.segmenter, "encode", lambda *a, **k: seen.append(a) or encode(*a, **k))
    losses = run.module(StepBatches(run.job)[0])
    assert list(losses) == ["source/cross_entropy", "adversarial/adversarial", "adversarial/discriminator"]
    assert len(seen) == 2


def test_switches_change_what_is_learnt(tmp_path):
    """Each named switch leads to other weights, so none is without effect."""
    choices = [{"discriminator": {"channels": 4} | own} for own in ({}, {"channels": 5}, {"lr": 1e-2})]
    choices += [
        {"discriminator": {"channels": 4, "lr": 1e-2} | own} for own in ({"betas": (0, 0)}, {"weight_decay": 1})
    ]
    choices += [SMALL | switch for switch in ({"input": "self-information"}, {"objective": "least-squares"})]
    choices += [SMALL | {"weight": 0.01}]
    digests = set()
    for number, settings in enumerate(choices):
        job = tiny_jobs.make_job(tmp_path, steps=3, adaptations=[(KIND, settings)], target="images")
        digests.add(fit(job, tmp_path / str(number))["weights_sha256"])
    assert len(digests) == len(choices)


def test_labels_of_the_target_are_not_read(tmp_path):
    """Without labels granted the target has none; where it has some, garbage in them moves no bit of the terms."""
    module = module_with(KIND, SMALL)
    plain, labelled = step_of(module, tmp_path), step_of(module, tmp_path, target="labels")
    assert not hasattr(plain.target, "labels")
    labelled.target.labels.fill_(1)
    terms = [module.adaptations[KIND].losses(step) for step in (plain, labelled)]
    assert {key: value.item() for key, value in terms[0].items()} == {k: v.item() for k, v in terms[1].items()}


def test_saved_keys_are_the_hosts(tmp_path):
    """No discriminator is saved for prediction; a resume does have it."""
    module = run_of(tmp_path).module
    assert set(module.inference_state()) == set(module.segmenter.state_dict())
    assert any("discriminators.main" in key for key in module.state_dict())


def test_settings_are_the_papers():
    """AdaptSegNet's numbers by default; a beta of 1 and a negative weight are refused."""
    own = {"channels": 64, "lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0}
    weights = {"weight": 1e-3, "auxiliary_weight": 2e-4}
    switches = {"input": "probabilities", "objective": "vanilla"}
    assert Settings().model_dump() == weights | switches | {"discriminator": own}
    for wrong in ({"discriminator": {"betas": (0.9, 1)}}, {"weight": -1}, {"lambda": 1e-3}):
        with pytest.raises(ValidationError):
            Settings(**wrong)
