"""Learning rates and weight decays that tunings ask for, and their course over a run."""

import copy
from types import SimpleNamespace

import pytest
import torch
from test_tunings import TRAINED, tuned
from torch import nn

from xdseg.segmenters.parameters import parameter_groups
from xdseg.segmenters.tunings.groups import tuned_groups
from xdseg.settings.training import Training
from xdseg.training.optimisers import Optimisers, check_groups
from xdseg.training.schedule import annealed

RECIPE = Training(steps=100, lr=1e-3, weight_decay=0.05, head_lr_factor=10)
FACTORS = {"full": 0.1, "lora": 1, "dora": 1, "rein": 1, "soma": 0.5}


class Network(nn.Module):
    """A tuned encoder and a head, as what an optimiser asks for its groups."""

    def __init__(self, kind, **values):
        super().__init__()
        self.encoder, self.head = tuned(kind, **values), nn.Linear(4, 4)

    def parameter_groups(self, recipe):
        """Those of every segmenter, as the tuning wants them."""
        groups = parameter_groups(self.named_parameters(), recipe, is_head=lambda name: name.startswith("head."))
        return tuned_groups(groups, self.encoder)


def of_groups(kind, key, *, recipe=RECIPE, **values):
    """One key of each group, by the group's name."""
    return {group["name"]: group.get(key) for group in Network(kind, **values).parameter_groups(recipe)}


def optimisers(network, **changes):
    """What trains that network alone."""
    step = SimpleNamespace(segmenter=network, adaptations={})
    return Optimisers(step, RECIPE.model_copy(update=changes), device=torch.device("cpu"))


def decays(made):
    """Weight decay of each group, by the group's name."""
    return {group["name"]: group["weight_decay"] for group in made.members[0].param_groups}


@pytest.mark.parametrize("kind", ["frozen", *TRAINED])
def test_each_trained_parameter_is_in_one_group(kind):
    """And frozen ones are in none, with blocks or without."""
    for layer_decay in (1.0, 0.5):
        network = Network(kind)
        check_groups(network, network.parameter_groups(RECIPE.model_copy(update={"layer_decay": layer_decay})))


@pytest.mark.parametrize("kind", TRAINED)
def test_rates_of_tunings(kind):
    """The encoder's rate times the tuning's factor, 0.1 in full and 0.5 in SoMA; the head's is the recipe's."""
    rates = of_groups(kind, "lr")
    encoder = {rate for name, rate in rates.items() if name.startswith("encoder.")}
    assert list(encoder) == pytest.approx([1e-3 * FACTORS[kind]])
    assert rates["head.decay"] == rates["head.plain"] == 1e-2
    halved = of_groups(kind, "lr", lr_factor=FACTORS[kind] / 2)
    assert halved == pytest.approx({name: rate / (2 if name.startswith("enc") else 1) for name, rate in rates.items()})


def test_frozen_encoders_have_no_group():
    """What is left is the head's."""
    assert list(of_groups("frozen", "lr")) == ["head.decay", "head.plain"]


def test_what_is_decayed():
    """Matrices are, but for Rein's tokens; magnitudes, scale and biases are not; tokens are if that is asked for."""
    wanted = {"encoder.decay": 0.05, "encoder.undecayed": 0, "encoder.plain": 0, "head.decay": 0.05, "head.plain": 0}
    assert of_groups("rein", "weight_decay") == wanted
    del wanted["encoder.undecayed"]
    assert of_groups("rein", "weight_decay", decay_tokens=True) == of_groups("dora", "weight_decay") == wanted
    groups = {group["name"]: group["params"] for group in Network("dora").parameter_groups(RECIPE)}
    assert {parameter.shape for parameter in groups["encoder.plain"]} == {(48,)}  # magnitudes of 24 q and 24 v
    groups = {group["name"]: group["params"] for group in Network("rein").parameter_groups(RECIPE)}
    assert [tuple(tokens.shape) for tokens in groups["encoder.undecayed"]] == [(3, 5, 3), (3, 3, 24)]


def test_half_a_cosine_by_hand():
    """From 0.05 to 1e-5 in 100 steps: a quarter of the way 0.04268, half-way the mean, and the end after the last."""
    found = [annealed(0.05, 1e-5, step=step, steps=100) for step in (0, 25, 50, 75, 100)]
    assert found == pytest.approx([0.05, 0.0426791, 0.025005, 0.0073309, 1e-5], rel=1e-5)


def test_weight_decay_of_soma_falls():
    """Of encoder and head alike; what is not decayed stays so, and without an end nothing changes."""
    made, constant = optimisers(Network("soma")), optimisers(Network("soma", weight_decay_end=None))
    made.set_rates(50)
    constant.set_rates(50)
    fallen = {"encoder.decay": 0.025005, "encoder.plain": 0, "head.decay": 0.025005, "head.plain": 0}
    assert decays(made) == pytest.approx(fallen)
    assert decays(constant) == {name: 0.05 if value else 0 for name, value in fallen.items()}
    made.set_rates(0)
    assert decays(made) == decays(constant)


def test_an_annealed_step_is_one_of_that_decay():
    """AdamW without gradients in sight shrinks a weight by lr times the decay of the step."""
    network = Network("soma")
    made = optimisers(network, head_lr_factor=1.0, poly_power=0.0)
    before = network.head.weight.detach().clone()
    network.head.weight.grad = torch.zeros_like(before)
    made.set_rates(50)
    made.step()
    torch.testing.assert_close(network.head.weight, before * (1 - 1e-3 * 0.025005))


def test_annealing_goes_on_after_a_resume():
    """The decay of a step does not depend on the decay at which the state was saved."""
    network = Network("soma")
    saved, fresh = optimisers(network), optimisers(copy.deepcopy(network))
    saved.set_rates(70)
    fresh.load_state_dict(saved.state_dict())
    for made in (saved, fresh):
        made.set_rates(25)
    assert decays(fresh) == decays(saved) and decays(fresh)["head.decay"] == pytest.approx(0.0426791, rel=1e-5)
