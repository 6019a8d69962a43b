"""The selective scan: all forms against the plain recurrence in double precision, and against other people's."""

import math
import sys
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mambapy.pscan import pscan

from xdseg.errors import BadInput
from xdseg.segmenters.scan import api, backends
from xdseg.segmenters.scan.api import selective_scan
from xdseg.segmenters.scan.backends import Choice, resolve
from xdseg.segmenters.scan.recurrence import FORMS
from xdseg.segmenters.scan.reference import selective_scan_reference

FORWARD, GRADIENTS = 1e-5, 1e-4  # tolerances in single precision, relative to the largest value
CHUNK = 128  # steps of a chunk in most tests
each_form = pytest.mark.parametrize("form", FORMS)
BARE = ("u", "dt", "A", "B", "C")
OPTIONS = {
    "bare": (),
    "all": ("D", "z", "delta_bias", "delta_softplus"),
    "MFuser's": ("D", "delta_bias", "delta_softplus"),
    "gate": ("z",),
    "bias alone": ("delta_bias",),
    "softplus alone": ("delta_softplus",),
}


def draw(length, states, *, batch=2, channels=4, dtype=torch.float64, seed=0, options=OPTIONS["all"], **shapes):
    """Arguments of a scan by name, wanting gradients; `shapes` replace those of B and C."""
    draws = torch.Generator().manual_seed(seed)
    sizes = dict.fromkeys(("u", "dt", "z"), (batch, channels, length)) | {"A": (channels, states)}
    sizes |= dict.fromkeys(("B", "C"), (batch, states, length)) | dict.fromkeys(("D", "delta_bias"), (channels,))
    found = {name: torch.randn(size, generator=draws, dtype=torch.float64) for name, size in (sizes | shapes).items()}
    found["A"] = -0.1 - 3 * found["A"].abs()
    if "delta_softplus" not in options:
        found |= {"dt": F.softplus(found["dt"]), "delta_bias": found["delta_bias"].abs()}  # steps go forwards
    kept = {name: x.to(dtype).requires_grad_() for name, x in found.items() if name in (*BARE, *options)}
    return kept | {"delta_softplus": "delta_softplus" in options}


def tensors(given):
    """Those of the arguments that have gradients."""
    return [x for x in given.values() if isinstance(x, torch.Tensor)]


def in_double(given):
    """The same arguments in double precision."""
    return {k: x.detach().double().requires_grad_() if isinstance(x, torch.Tensor) else x for k, x in given.items()}


def results(scan, given, *, seed=7):
    """Outputs and last state, and the gradients of all arguments for random gradients of both."""
    y, last = scan(given)
    draws = torch.Generator().manual_seed(seed)
    wanted = [torch.randn(x.shape, generator=draws, dtype=torch.float64).to(x) for x in (y, last)]
    return (y, last), torch.autograd.grad((y, last), tensors(given), wanted)


def reference(given):
    """The plain recurrence."""
    return selective_scan_reference(**given)


def in_form(form):
    """The scan in one form, with its last state."""
    return lambda given: selective_scan(**given, return_last_state=True, backend=form)


def assert_near(found, expected, tolerance):
    """Every tensor within the tolerance of the expected one's largest value."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one.double() - other).abs().max() <= tolerance * max(1, other.abs().max())


def assert_parity(form, given, *, forward=FORWARD, gradients=GRADIENTS):
    """Outputs, last state and all gradients are those of the plain recurrence in double precision."""
    assert_same_results(results(in_form(form), given), results(reference, in_double(given)), forward, gradients)


def assert_same_results(found, expected, forward, gradients):
    """What `results` returned is near, outputs and gradients each within their tolerance."""
    assert_near(found[0], expected[0], forward)
    assert_near(found[1], expected[1], gradients)


@pytest.fixture(autouse=True)
def chunks(monkeypatch):
    """Chunks of CHUNK steps of 2 x 4 channels in single precision, however many states."""

    def of(states, *, steps=CHUNK, itemsize=4):
        for name, form in FORMS.items():
            monkeypatch.setitem(FORMS, name, replace(form, chunk_bytes=steps * 2 * 4 * states * itemsize))

    of(16)
    return of


@pytest.mark.parametrize("scan", [reference, *map(in_form, FORMS)], ids=["reference", *FORMS])
def test_by_hand(scan):
    """A state halved at each step that takes in 1, then 1, then 1: 1, 3/2, 7/4; skip 2 u, then a gate of silu(1)."""
    one = torch.ones(1, 1, 3, dtype=torch.float64)
    A = torch.full((1, 1), -math.log(2), dtype=torch.float64)
    given = {"u": one, "dt": one, "A": A, "B": one, "C": 4 * one}
    y, last = scan(given)
    assert y.flatten().tolist() == pytest.approx([4, 6, 7]) and last.item() == pytest.approx(7 / 4)
    y, _ = scan(given | {"D": torch.full((1,), 2.0, dtype=torch.float64), "z": one})
    silu = 1 / (1 + math.exp(-1))
    assert y.flatten().tolist() == pytest.approx([6 * silu, 8 * silu, 9 * silu])
    bias = torch.full((1,), -1 + math.log(math.e - 1), dtype=torch.float64)  # softplus(1 + bias) = 1
    y, _ = scan(given | {"delta_bias": bias, "delta_softplus": True})
    assert y.flatten().tolist() == pytest.approx([4, 6, 7])


@each_form
@pytest.mark.parametrize("states", [1, 8, 16])
@pytest.mark.parametrize("length", [1, 2, 17, 127, 128, 129, 333])
def test_equals_the_recurrence(form, length, states, chunks):
    """Single precision, all options: outputs to 1e-5, gradients of every argument to 1e-4, at chunks' edges too."""
    chunks(states)
    assert_parity(form, draw(length, states, dtype=torch.float32))


@each_form
def test_equals_the_recurrence_over_thousands_of_steps(form):
    """32 chunks and a step."""
    assert_parity(form, draw(4097, 8, batch=1, channels=3, dtype=torch.float32))


@each_form
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options(form, options, chunks):
    """Each alone and together, in double precision, to its rounding."""
    chunks(8, steps=16, itemsize=8)
    assert_parity(form, draw(45, 8, options=options), forward=1e-12, gradients=1e-11)


@each_form
@pytest.mark.parametrize(
    "shapes",
    [
        {"B": (2, 2, 3, 45), "C": (2, 2, 3, 45)},
        {"B": (2, 4, 3, 45)},
        {"B": (2, 2, 3, 45), "C": (2, 1, 3, 45)},
        {"B": (4, 3)},
        {"B": (4, 3), "C": (4, 3)},
        {"B": (2, 2, 3, 45), "C": (4, 3)},
    ],
    ids=["2 groups", "4 groups of B", "2 and 1", "constant B", "constant", "groups of B, constant C"],
)
def test_groups_and_constants(form, shapes, chunks):
    """B and C of groups of channels, of each channel, or the same at all times, each in its own way."""
    chunks(3, steps=16, itemsize=8)
    assert_parity(form, draw(45, 3, **shapes), forward=1e-12, gradients=1e-11)


def test_groups_serve_neighbouring_channels():
    """Of 4 channels the first two read the first group: where that is zero, nothing enters or leaves."""
    given = draw(9, 3, options=(), B=(2, 2, 3, 9))
    given["B"] = given["B"].detach() * torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    y = selective_scan(**given)
    assert not y[:, :2].any() and y[:, 2:].all()


@each_form
def test_gradcheck(form, chunks):
    """Gradients are the limits of differences, of every argument and of the last state too."""
    chunks(2, steps=1, itemsize=8)  # chunks of the least number of steps
    given = draw(19, 2, batch=1, channels=2)
    names = [name for name, x in given.items() if isinstance(x, torch.Tensor)]

    def scan(*values):
        return in_form(form)(dict(zip(names, values, strict=True)) | {"delta_softplus": True})

    assert torch.autograd.gradcheck(scan, tensors(given))


@each_form
def test_gradient_of_the_last_state_alone(form):
    """The outputs need not be used: C, D and z get none."""
    given = draw(300, 8)
    (_, found), (_, expected) = selective_scan(**given, return_last_state=True, backend=form), reference(given)
    assert torch.autograd.grad(found.sum(), given["C"], retain_graph=True)[0].abs().max() == 0
    names = ("u", "dt", "A", "B", "delta_bias")
    ours, theirs = (torch.autograd.grad(x.square().sum(), [given[n] for n in names]) for x in (found, expected))
    assert_near(ours, theirs, 1e-11)


@each_form
@pytest.mark.parametrize("length", [16, 333])
def test_equals_the_scan_of_mambapy(form, length):
    """Outputs and gradients of mambapy 1.2's parallel scan, in single precision."""
    given = draw(length, 16, dtype=torch.float32, options=("D",))

    def theirs(given):
        u, dt, B, C = (given[name].transpose(1, 2) for name in ("u", "dt", "B", "C"))  # (B, L, ...)
        decays = torch.exp(dt[..., None] * given["A"])
        states = pscan(decays, dt[..., None] * B[:, :, None] * u[..., None])
        return ((states * C[:, :, None]).sum(-1) + given["D"] * u).transpose(1, 2), states[:, -1]

    assert_same_results(results(in_form(form), given), results(theirs, given), FORWARD, GRADIENTS)


@each_form
@pytest.mark.parametrize("argument", [-30.0, 30.0])
def test_extreme_steps(form, argument):
    """Where softplus gets ±30 states freeze or are forgotten at once, A down to -16; all is finite and exact."""
    given = draw(333, 16, dtype=torch.float32)
    with torch.no_grad():
        given["dt"].add_(argument)
        given["A"].copy_(-torch.arange(1.0, 17).expand(4, -1))
    (y, last), gradients = results(in_form(form), given)
    assert all(x.isfinite().all() for x in (y, last, *gradients))
    assert_parity(form, given)


@each_form
def test_steps_large_beside_small(form):
    """What is left over many small steps does not drown in the sum with a large one before them."""
    given = draw(400, 4, dtype=torch.float32, options=())
    with torch.no_grad():
        given["dt"].mul_(1e-4)
        given["dt"][..., ::40] = 1e4
    assert_parity(form, given)


@each_form
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_in_and_out(form, half):
    """Computed in single precision: the result of the rounded arguments, rounded once; so are gradients."""
    given = draw(200, 8, dtype=half)
    single = {k: x.detach().float().requires_grad_() if isinstance(x, torch.Tensor) else x for k, x in given.items()}
    y, expected = (selective_scan(**arguments, backend=form) for arguments in (given, single))
    assert y.dtype == half and torch.equal(y, expected.to(half))
    ours, theirs = (torch.autograd.grad(x.sum(), tensors(a)) for x, a in ((y, given), (expected, single)))
    assert all(torch.equal(one, other.to(half)) for one, other in zip(ours, theirs, strict=True))


@each_form
def test_autocast_changes_nothing(form):
    """Not around the forward pass nor around the backward pass, bit for bit."""
    given = draw(200, 8, dtype=torch.float32)
    plain = results(in_form(form), given)
    with torch.autocast("cpu", torch.bfloat16):
        cast = results(in_form(form), given)
    for one, other in zip(plain, cast, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@each_form
def test_outputs_hang_on_the_past_alone(form):
    """Another input at step 70 leaves earlier outputs as they were, and changes later ones."""
    given = draw(150, 8, dtype=torch.float32)
    other = given | {"u": given["u"].detach().clone()}
    other["u"][..., 70] += 1
    before, after = (selective_scan(**arguments, backend=form) for arguments in (given, other))
    assert torch.equal(before[..., :70], after[..., :70])
    assert (before[..., 70:75] != after[..., 70:75]).all()


@each_form
def test_views_are_read_as_they_are(form):
    """Transposed arguments and expanded gradients give what contiguous ones give."""
    given = draw(150, 8)
    turned = {k: x.mT.contiguous().mT if k in ("u", "dt", "B", "C", "z") else x for k, x in given.items()}
    one, other = (selective_scan(**arguments, backend=form) for arguments in (given, turned))
    assert torch.equal(one, other)
    expected = torch.autograd.grad(one, given["u"], torch.ones_like(one), retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(one.sum(), given["u"])[0], expected)


@each_form
def test_little_is_kept_for_the_backward_pass(form, chunks):
    """A third of the states of all steps at most, inputs and steps among it, where a channel has 16 states."""
    chunks(16, steps=16 * CHUNK)
    given, kept = draw(1024, 16, channels=64, dtype=torch.float32, options=OPTIONS["MFuser's"]), {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        selective_scan(**given, backend=form)
    states = 2 * 1024 * 64 * 16 * given["u"].element_size()
    assert 0 < sum(kept.values()) < states / 3


def test_runs_inside_what_is_compiled():
    """As it is: compilers leave it alone, and what surrounds it keeps its gradients."""
    given = draw(40, 2)

    def surrounded(u):
        return (selective_scan(**given | {"u": 2 * u}) + 1).sum()

    compiled = torch.compile(surrounded, backend="eager")
    ours, theirs = (torch.autograd.grad(run(given["u"]), given["u"])[0] for run in (compiled, surrounded))
    assert torch.equal(ours, theirs)


@each_form
def test_no_second_derivative(form):
    """It would be wrong without a word; so it is refused."""
    given = draw(20, 2)
    with pytest.raises(RuntimeError, match="without create_graph"):
        torch.autograd.grad(selective_scan(**given, backend=form).sum(), given["u"], create_graph=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt": torch.zeros(2, 1, 5)}, r"dt is \(2, 1, 5\), not \(2, 4, 5\)"),
        ({"D": torch.zeros(1)}, r"D is \(1,\), not \(4,\)"),
        ({"A": torch.zeros(1, 3)}, r"A is \(1, 3\), not \(4, 3\)"),
        ({"B": torch.zeros(2, 3, 4)}, r"B is \(2, 3, 4\)"),
        ({"C": torch.zeros(2, 3, 3, 5)}, "C is .* for 4 channels"),
        ({"A": torch.zeros(4, 3, dtype=torch.complex64)}, "complex"),
        (dict.fromkeys(("u", "dt", "z"), torch.zeros(2, 4, 0)), "empty"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(changes, message):
    """Each names the argument and its shape."""
    with pytest.raises(ValueError, match=message):
        selective_scan(**draw(5, 3) | changes)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts a stand-in for mamba-ssm where it is imported from, or hides what is there; nothing is remembered."""
    backends.resolve.cache_clear()
    backends.kernel.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == backends.PACKAGE]:
        monkeypatch.delitem(sys.modules, name)

    def put(code):
        folder = tmp_path / backends.PACKAGE / "ops"
        folder.mkdir(parents=True)
        for path in (folder.parent, folder):
            (path / "__init__.py").touch()
        (folder / "selective_scan_interface.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    backends.resolve.cache_clear()
    backends.kernel.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == backends.PACKAGE]:
        del sys.modules[name]


WORKS = """
from xdseg.segmenters.scan.recurrence import FORMS
from xdseg.segmenters.scan.reference import selective_scan_reference

def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False
):
    assert str(u.dtype) == "torch.float32" and return_last_state
    options = {"D": D, "z": z, "delta_bias": delta_bias, "delta_softplus": delta_softplus}
    return selective_scan_reference(u, delta, A, B, C, **options)
"""
BROKEN = "import json\nraise OSError('libcudart.so.12: cannot open shared object file:\\n  No such file')"


def test_kernel_is_taken_on_cuda_alone(package):
    """Where it imports: on CUDA devices, unless sizes or dtype are none of its; never elsewhere."""
    package(WORKS)
    assert resolve("auto", "cuda").name == resolve("mamba-ssm", "cuda").name == "mamba-ssm"
    assert resolve("auto", "cuda", fits=False) == Choice(
        "chunked", "its kernel takes at most 256 states and no double precision"
    )
    assert resolve("auto", "cpu").name == "streaming" and resolve("auto", "mps").name == "chunked"
    assert [resolve(name, "cuda") for name in FORMS] == [Choice(name, "asked for") for name in FORMS]
    with pytest.raises(BadInput, match="needs a CUDA device, tensors are on 'cpu'; take 'auto'"):
        resolve("mamba-ssm", "cpu")
    with pytest.raises(BadInput, match="double precision"):
        resolve("mamba-ssm", "cuda", fits=False)


def test_kernel_that_fails_half_way_through_its_import(package):
    """One line with the error's type and text, once; auto goes on by other means, a name asked for does not."""
    package(BROKEN)
    said = "importing mamba_ssm.ops.selective_scan_interface failed: OSError: libcudart.so.12: cannot open shared"
    with pytest.warns(RuntimeWarning, match=said) as seen:
        chosen = resolve("auto", "cuda")
    assert chosen.name == "chunked" and said in chosen.reason and "\n" not in chosen.reason
    assert [len(str(warning.message).splitlines()) for warning in seen] == [1]
    with warnings.catch_warnings(action="error"):
        assert resolve("auto", "cuda") is chosen
        with pytest.raises(BadInput, match=said):
            resolve("mamba-ssm", "cuda")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("", "AttributeError: .*selective_scan_fn"),
        ("raise RuntimeError", "RuntimeError"),
        ("1 +", "SyntaxError"),
    ],
)
def test_any_error_on_import_is_told(package, code, reason):
    """A dependency that lacks, another version without the function, bare errors."""
    package(code)
    with pytest.warns(RuntimeWarning, match=reason):
        assert resolve("auto", "cuda").name == "chunked"


def test_absent_kernel_is_no_warning(package, monkeypatch):
    """Nothing is broken where it was never installed; asked for by name, it is missing."""
    monkeypatch.setattr(backends, "PACKAGE", "no_such_ssm")
    monkeypatch.setattr(backends, "MODULE", "no_such_ssm.ops")
    with warnings.catch_warnings(action="error"):
        assert resolve("auto", "cuda") == Choice("chunked", "mamba-ssm is not installed")
    with pytest.raises(BadInput, match="mamba-ssm is not installed"):
        resolve("mamba-ssm", "cuda")


def test_a_processor_never_looks_for_the_kernel(package):
    """What is broken there is nobody's concern."""
    package(BROKEN)
    with warnings.catch_warnings(action="error"):
        assert resolve("auto", "cpu").name == "streaming"
        selective_scan(**draw(5, 2))


def test_unknown_backend():
    """With the nearest name."""
    with pytest.raises(BadInput, match="no backend 'streeming'; did you mean 'streaming'"):
        resolve("streeming", "cpu")


def test_kernel_gets_the_arguments_in_their_places(package, monkeypatch):
    """All in single precision, every option where it belongs; outputs in u's dtype."""
    package(WORKS)
    given = draw(50, 4, dtype=torch.bfloat16)
    expected = selective_scan(**given, return_last_state=True, backend="streaming")
    monkeypatch.setattr(api, "resolve", lambda *_, **__: Choice("mamba-ssm", "told to"))
    found = selective_scan(**given, return_last_state=True)
    assert found[0].dtype == torch.bfloat16
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_chunked_equals_the_recurrence_on_a_gpu():
    """As on a processor."""
    given = draw(333, 16)
    given |= {k: x.detach().cuda().requires_grad_() for k, x in given.items() if isinstance(x, torch.Tensor)}
    assert_same_results(results(in_form("chunked"), given), results(reference, given), 1e-12, 1e-11)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_kernel_equals_the_recurrence_on_a_gpu():
    """mamba-ssm's, which computes with fast approximations of exp and log, ten times as far as ours may be."""
    if (problem := backends.kernel()[1]) is not None:
        pytest.skip(problem)
    given = draw(333, 16, dtype=torch.float32)
    given |= {k: x.detach().cuda().requires_grad_() for k, x in given.items() if isinstance(x, torch.Tensor)}
    y, last = selective_scan(**given, return_last_state=True, backend="mamba-ssm")
    double = in_double(given)
    expected = reference(double)
    assert_near((y, last), expected, 10 * FORWARD)
    ours, theirs = (torch.autograd.grad(one.sum(), tensors(of)) for one, of in ((y, given), (expected[0], double)))
    assert_near(ours, theirs, 10 * GRADIENTS)
