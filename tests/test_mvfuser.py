"""MVFuser: published sizes, a plain implementation beside it, its switches, and who sees whom."""

import pytest
import torch
from torch import nn

from xdseg.segmenters.mvfuser import MVFuser

WIDTH, STATES, RANK, INNER = 20, 4, 2, 10
FIRST, SECOND = 7, 6  # tokens of the encoders


def build(seed=0, **changes):
    """A small one in double precision and evaluation, every parameter drawn, so that none is 0 or 1."""
    torch.manual_seed(seed)
    fuser = MVFuser(WIDTH, states=STATES, **changes).double().eval()
    for parameter in fuser.parameters():
        nn.init.normal_(parameter, std=0.5)
    return fuser


def tokens(seed=1, length=FIRST + SECOND):
    """Random ones of two images."""
    return torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def silu(x):
    return x / (1 + torch.exp(-x))


def along(x, weight):
    """Each channel of x (L, inner) convolved along the sequence, zeros beyond its ends; weight (inner, 1, 3)."""
    padded = torch.cat((torch.zeros_like(x[:1]), x, torch.zeros_like(x[:1])))
    return sum(weight[:, 0, shift] * padded[shift : shift + len(x)] for shift in range(3))


def plain(p, sequence, *, dt_biases=2, gate_silus=2):
    """The same for one sequence (L, width) step by step, of a state dict p, as the published code has it."""
    x, z = (sequence @ p["in_proj.weight"].T).split(INNER, dim=1)
    x, gate = silu(along(x, p["conv1d_x.weight"])), along(z, p["conv1d_z.weight"])
    for _ in range(gate_silus):
        gate = silu(gate)
    low, B, C = (x @ p["x_proj.weight"].T).split((RANK, STATES, STATES), dim=1)
    steps = torch.log(1 + torch.exp(low @ p["dt_proj.weight"].T + dt_biases * p["dt_proj.bias"]))
    state, outputs = torch.zeros(INNER, STATES, dtype=sequence.dtype), []
    for t, step in enumerate(steps):
        decay = torch.exp(-step[:, None] * torch.exp(p["A_log"]))
        state = decay * state + (step * x[t])[:, None] * B[t]
        y = state @ C[t] + p["D"] * x[t]
        outputs.append(y / (y.square().mean() + 1e-5).sqrt() * p["norm.weight"])
    return (torch.stack(outputs) * gate) @ p["out_proj.weight"].T * p["scale"]


def test_published_size():
    """1,667,585 parameters a layer at width 1024, the published 1.67 M, under the published code's names."""
    shapes = {name: tuple(value.shape) for name, value in MVFuser(1024).state_dict().items()}
    assert shapes == {
        "A_log": (512, 16),
        "D": (512,),
        "scale": (),
        "in_proj.weight": (1024, 1024),
        "x_proj.weight": (96, 512),
        "dt_proj.weight": (512, 64),
        "dt_proj.bias": (512,),
        "out_proj.weight": (1024, 512),
        "conv1d_x.weight": (512, 1, 3),
        "conv1d_z.weight": (512, 1, 3),
        "norm.weight": (512,),
    }
    assert sum(parameter.numel() for parameter in MVFuser(1024).parameters()) == 1_667_585


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, {}),
        ({"double_dt_bias": False}, {"dt_biases": 1}),
        ({"double_silu": False}, {"gate_silus": 1}),
        ({"double_dt_bias": False, "double_silu": False}, {"dt_biases": 1, "gate_silus": 1}),
    ],
)
@pytest.mark.parametrize("backend", ["streaming", "chunked"])
def test_equals_the_plain_one(changes, counts, backend):
    """To the rounding of double precision, with each switch."""
    fuser, given = build(backend=backend, **changes), tokens()
    expected = torch.stack([plain(fuser.state_dict(), sequence, **counts) for sequence in given])
    torch.testing.assert_close(fuser(given), expected, rtol=1e-9, atol=1e-12)


def test_who_sees_whom():
    """Tokens of the first encoder see none of the second, but its last the next one; those of the second see all.

    One token ahead is the convolution's; what lies before is seen through the scan, however far.
    """
    fuser, given = build(), tokens().requires_grad_()
    for place in range(FIRST + SECOND):
        (gradient,) = torch.autograd.grad(fuser(given)[0, place].sum(), given)
        seen = gradient[0].abs().amax(1) > 0
        assert seen.nonzero().flatten().tolist() == list(range(min(place + 2, FIRST + SECOND)))
        assert not gradient[1].any()


def test_training_begins_at_the_frozen_encoders():
    """At first what is added is less than a thousandth of the tokens; step sizes lie in 1e-3 to 1e-1, with one bias."""
    torch.manual_seed(0)
    fuser = MVFuser(256)
    given = torch.randn(1, 200, 256)
    assert 0 < fuser(given).square().mean().sqrt() < 1e-3
    bias = fuser.dt_proj.bias.detach()
    once, twice = nn.functional.softplus(bias), nn.functional.softplus(2 * bias)
    assert 1e-3 <= once.min() < 3e-3 and 0.03 < once.max() <= 0.1
    assert 1e-6 <= twice.min() < 1e-5 and 1e-3 < twice.max() < 0.012
    assert torch.equal(-fuser.A_log.exp().round(), -torch.arange(1.0, 17).expand(128, -1))


def test_all_parameters_learn():
    """Each gets a gradient, at the first step too."""
    torch.manual_seed(0)
    fuser = MVFuser(WIDTH, states=STATES)
    fuser(tokens().float()).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in fuser.parameters())


def test_dropout_is_of_training_alone():
    """In evaluation two passes are equal; in training about a tenth of what is added is 0."""
    torch.manual_seed(0)
    fuser, given = MVFuser(WIDTH, states=STATES), torch.randn(2, 500, WIDTH)
    assert 0.08 < (fuser(given) == 0).float().mean() < 0.12
    assert torch.equal(fuser.eval()(given), fuser(given)) and (fuser(given) != 0).all()


def test_half_precision_of_autocast():
    """Near single precision: the scan itself is computed in it."""
    torch.manual_seed(0)
    fuser, given = MVFuser(64).eval(), torch.randn(1, 300, 64)
    expected = fuser(given)
    with torch.autocast("cpu", torch.bfloat16):
        found = fuser(given)
    assert (found - expected).square().mean().sqrt() < 0.02 * expected.square().mean().sqrt()
