"""Several processes that share a batch compute what one process computes, to float tolerance; their networks are equal.

Processes are forked and meet through gloo. All optimisers are SGD here, since Adam turns a gradient that is rounding
alone into a whole step.
"""

import json
import multiprocessing
import os
import signal
from dataclasses import dataclass, replace
from types import SimpleNamespace

import plugin_example
import pytest
import tiny_jobs
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput, Terminated
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.segmenters.dense import DensePrediction
from xdseg.training import device as devices
from xdseg.training import loop, ranks
from xdseg.training.loop import Run, train
from xdseg.training.optimisers import MAKERS
from xdseg.training.ranks import Ranks
from xdseg.training.shared_norm import SharedBatchNorm, share_norms
from xdseg.training.whole_draws import whole_draws

STEPS = 3
SURE = {"threshold": 0.5}  # a part of the pixels of untrained networks, and of each share another part
OWN = [name for name in ADAPTATIONS if not ADAPTATIONS[name].build.startswith("plugin_example")]
NETWORKS = [name for name in SEGMENTERS if not SEGMENTERS[name].build.startswith("plugin_example")]
TIMEOUT = 600


@pytest.fixture(autouse=True)
def _toys_divide(monkeypatch):
    """The toy network has losses and dropout of the package, so it may say that it can be divided."""
    monkeypatch.setattr(plugin_example.Toy, "divisible", True)


@pytest.fixture(autouse=True)
def _descend(monkeypatch):
    """Also what adaptations train by Adam follows plain gradients."""
    for kind in ("adam", "adamw"):
        monkeypatch.setitem(MAKERS, kind, MAKERS["sgd"])


def together(tmp_path, world, work):
    """What `work(rank)` returns in each of `world` processes that have joined, in order; fails if one fails."""
    context, store = multiprocessing.get_context("fork"), tmp_path / f"store-{world}-{len(list(tmp_path.iterdir()))}"

    def main(rank):
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        with ranks.sharing(Ranks(rank, world)):
            torch.save(work(rank), f"{store}.{rank}")
        dist.destroy_process_group()

    processes = [context.Process(target=main, args=(rank,)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * world
    return [torch.load(f"{store}.{rank}", weights_only=True) for rank in range(world)]


def stepped(job, folder):
    """The first steps of a job in this process: its state before, after one and after all, and the losses of each."""
    with devices.reproducible():
        run = Run(job, folder, tiny_jobs.CPU)
        states, batches, losses = [copied(run.module)], StepBatches(job), []
        for step in range(STEPS):
            run.optimisers.set_rates(step)
            losses.append(run.update(batches[step]))
            states.append(copied(run.module))
        return {"before": states[0], "one": states[1], "all": states[-1], "losses": losses}


def copied(module):
    """A state that stays."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def apart(ours, theirs, before):
    """By name, how far two states are from each other, relative to how far training moved the whole network."""
    real = [name for name, value in before.items() if value.is_floating_point()]
    moved = torch.stack([(ours[name] - before[name]).norm() for name in real]).norm()
    assert moved > 0
    return {name: float((ours[name] - theirs[name]).norm() / moved) for name in real}


def check_parity(tmp_path, job, *, world=2, first=2e-4, later=0.1):
    """Several processes' states are equal to the bit, and one process's up to a small share of what training moved.

    After one step the share is that of rounding. Later a pseudo-label, a point or a ReLU that rounding tips over
    changes the course, of one process with another order of sums just as well.
    """
    alone = stepped(job, tmp_path / "alone")
    ends = together(tmp_path, world, lambda rank: stepped(job, tmp_path / f"rank-{rank}"))
    for name, value in ends[0]["all"].items():
        for other in ends[1:]:
            assert torch.equal(value, other["all"][name]), f"{name} differs between processes"
    assert ends[0]["losses"][0] == pytest.approx(alone["losses"][0], rel=5e-5, abs=1e-6)
    assert all(end["losses"] == ends[0]["losses"] for end in ends), "each process knows the whole loss"
    for key, tolerance in (("one", first), ("all", later)):
        shares = apart(alone[key], ends[0][key], alone["before"])
        assert not {name: share for name, share in shares.items() if not share < tolerance}, f"after {key}"


def job_of(tmp_path, segmenter, *adaptations, **options):
    """A job that trains by SGD, of a segmenter and adaptations by name or with settings."""
    named = [name if isinstance(name, tuple) else (name, {}) for name in adaptations]
    parts = [term for name, values in named for term in tiny_jobs.terms(name, **values)]
    unique = list({name: (name, values) for name, values in parts}.values())
    target = "images" if any(tiny_jobs.target_of(name) == "images" for name, _ in unique) else "none"
    options = {"target": target, "optimizer": "sgd", "lr": 1e-2, "momentum": 0.9} | options
    return tiny_jobs.make_job(tmp_path, segmenter=segmenter, adaptations=unique, **options)


REPRESENTATIVE = {
    "dense, dropout, stochastic depth, batch norm": ("segformer", []),
    "set loss with matching and random points": ("eomt", []),
    "pasting, jitter, teacher": ("deeplabv3plus", [("dacs", SURE)]),
    "discriminators": ("deeplabv2", ["adversarial"]),
    "masked views": ("toy", ["masked-consistency"]),
    "rebuilt maps": ("toy", [("dacs", SURE), "mfm"]),
    "regions": ("toy", ["tmt"]),
}


@pytest.mark.parametrize("case", list(REPRESENTATIVE))
def test_ddp_parity_two_processes_equal_one(tmp_path, case):
    """Losses, parameters and statistics are those of one process with the same batch, whatever a method couples."""
    segmenter, adaptations = REPRESENTATIVE[case]
    check_parity(tmp_path, job_of(tmp_path, segmenter, *adaptations))


@pytest.mark.parametrize(("batch", "accumulate", "world"), [(5, 1, 2), (10, 2, 3)])
def test_uneven_shares_equal_one_process(tmp_path, batch, accumulate, world):
    """Five images over two processes, and two rounds of five over three."""
    check_parity(tmp_path, job_of(tmp_path, "toy", ("dacs", SURE), batch=batch, accumulate=accumulate), world=world)


VARIANTS = {
    "halves of source and target": [("masked-consistency", {"images": "both"})],
    "classes of the batch": [("dacs", {"classes_of": "batch"})],
    "prototypes": [("tmt", {"acte": {"transferability": "proto"}, "entropy_weight": 0.1})],
    "rebuilt features, hidden where need is": ["dacs", "tmt", ("mfm", {"target": "student-feature", "mask": "need"})],
}


@pytest.mark.parametrize("case", list(VARIANTS))
def test_variants_equal_one_process(tmp_path, case):
    """Settings that couple a batch's images in ways of their own."""
    check_parity(tmp_path, job_of(tmp_path, "toy", *VARIANTS[case]))


@dataclass(frozen=True)
class OwnMean(DensePrediction):
    """A prediction whose loss is the mean over this process's pixels: wrong where shares differ in labelled pixels."""

    def loss(self, labels, weights=None):
        """As in a plugin that knows nothing of other processes."""
        return {"cross_entropy": F.cross_entropy(self.scores(tuple(labels.shape[-2:])), labels, ignore_index=255)}


def test_the_comparison_notices_a_mean_of_ones_own(tmp_path, monkeypatch):
    """A loss that divides by the process's own pixels is found: parts of it do not add up to the batch's mean."""
    decode = plugin_example.Toy.decode
    monkeypatch.setattr(plugin_example.Toy, "decode", lambda self, *a, **k: OwnMean(decode(self, *a, **k).logits))
    with pytest.raises(AssertionError):
        check_parity(tmp_path, job_of(tmp_path, "toy"))


def test_shares_divide_a_batch():
    """Every image is in one share; shares differ by one at most; rounds are divided one by one."""
    shares = [Ranks(rank, 3).share(8) for rank in range(3)]
    assert [(share.first, share.count) for share in shares] == [(0, 2), (2, 3), (5, 3)]
    found = []
    for rank in range(3):
        with ranks.sharing(Ranks(rank, 3)):
            found.append(list(ranks.places(8, rounds=2)))
    assert found == [[0, 4], [1, 5], [2, 3, 6, 7]]
    assert list(ranks.places(8, rounds=2)) == list(range(8)), "alone"


DRAWS = {
    "dropout": lambda x: nn.Dropout(0.4)(x),
    "dropout in place": lambda x: nn.Dropout(0.4, inplace=True)(x.clone()),
    "dropout of channels": lambda x: nn.Dropout2d(0.4)(x),
    "another order in memory": lambda x: F.dropout(x.permute(0, 3, 1, 2), 0.4),
    "stochastic depth": lambda x: x * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.6),
    "no dropout": lambda x: F.dropout(x, 0.4, training=False),
}


@pytest.mark.parametrize("draw", list(DRAWS))
def test_draws_do_not_depend_on_processes(draw):
    """A process's rows are those of one process to the bit, and its generator ends where that one's does."""
    images, ends = torch.randn(7, 5, 6, 4, generator=torch.Generator().manual_seed(1)), []
    torch.manual_seed(0)
    whole, after = DRAWS[draw](images), torch.get_rng_state()
    for rank in range(3):
        with ranks.sharing(Ranks(rank, 3, images=7)), whole_draws():
            rows = ranks.own(images)
            torch.manual_seed(0)
            ends.append(DRAWS[draw](rows))
            assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(torch.cat(ends), whole)


@pytest.mark.parametrize(
    "network",
    [
        lambda x: F.alpha_dropout(x, 0.5, training=True),
        lambda x: torch.bernoulli(x),
        lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1),
        lambda x: F.dropout(x.flatten(0, 1), 0.5),
    ],
)
def test_draws_that_cannot_be_divided_are_refused(network):
    """Rather than drawn otherwise than by one process."""
    with ranks.sharing(Ranks(0, 2, images=4)), whole_draws(), pytest.raises(BadInput, match=r"runtime\.processes"):
        network(torch.full((2, 3, 4), 0.5))


def test_shared_norm_alone_is_batch_norm():
    """Values, gradients and running statistics are torch's, for one process as for any."""
    ours, theirs = SharedBatchNorm(3), nn.BatchNorm2d(3)
    for norm in (ours, theirs):
        nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    found = []
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        said = norm(given)
        said.square().mul(torch.arange(6.0)).sum().backward()
        found.append([said, given.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
        found[-1].append(norm.num_batches_tracked)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert type(share_norms(nn.Sequential(theirs), torch.device("cpu"))[0]) is nn.BatchNorm2d, "alone nothing changes"


def test_rows_of_any_number_have_their_place(tmp_path):
    """Matched masks: how many come before is known, also of a process that has none; sums carry gradients across."""

    def work(rank):
        share = ranks.row_share((3, 0, 2)[rank], torch.device("cpu"))
        x = torch.tensor(float(rank + 1), requires_grad=True)
        (ranks.global_sum(x) * (rank + 1)).backward()  # d/dx of 1 s + 2 s + 3 s, where s is the sum
        rows = ranks.mean_of_rows(torch.arange(2.0 * rank)[:, None])
        return [(share.first, share.count, share.total), float(x.grad), float(rows)]

    found = together(tmp_path, 3, work)
    assert [tuple(end[0]) for end in found] == [(0, 3, 5), (3, 0, 5), (3, 2, 5)]
    assert [end[1] for end in found] == [6.0] * 3
    assert found[0][2] == pytest.approx((0 + 1 + 0 + 1 + 2 + 3) / 6)


def test_parameters_without_gradient_somewhere_count_as_zero(tmp_path):
    """One that no process reaches stays without, so that its optimiser leaves it alone; small buckets do."""

    def work(rank):
        parameters = [nn.Parameter(torch.ones(n)) for n in (2, 3, 4)]
        parameters[0].grad = torch.full((2,), 1.0 + rank)
        if rank:
            parameters[2].grad = torch.full((4,), 5.0)
        ranks.sum_gradients(parameters, bucket=3)
        return [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters]

    assert together(tmp_path, 2, work) == [[[3.0, 3.0], None, [5.0] * 4]] * 2


def test_a_run_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """Two processes, killed and started again, end as two that were not; only the first writes."""
    monkeypatch.setattr(plugin_example.Kill, "divisible", True)
    job = job_of(tmp_path, "toy", "dacs")
    whole = replace(job, adaptations=(*job.adaptations, _kill(99)))
    broken = replace(job, adaptations=(*job.adaptations, _kill(6)))

    def fit(wanted, folder):
        return train(wanted, tmp_path / folder, runtime=tiny_jobs.CPU)

    def killed(rank):
        with pytest.raises(KeyboardInterrupt):
            fit(broken, "broken")
        dist.barrier()  # so that none has ended before the other is where it is to be killed
        report = fit(whole, "broken")
        return report.get("weights_sha256", ""), report["processes"]

    def unbroken(rank):
        report = fit(whole, "whole")
        return report.get("weights_sha256", ""), report["processes"]

    ends, wanted = together(tmp_path, 2, killed), together(tmp_path, 2, unbroken)
    assert ends == wanted and wanted[0][0] and wanted[1] == ("", 2)
    for folder in ("broken", "whole"):
        points = [json.loads(line)["step"] for line in (tmp_path / folder / "curve.jsonl").read_text().splitlines()]
        assert points == sorted(set(points)), "each point is written once"


def test_sigterm_to_one_process_stops_all_after_the_same_step(tmp_path):
    """They agree on it, so that the first saves what all have; started again they end as two that were not stopped."""
    job = job_of(tmp_path, "toy", "dacs")

    def fit(folder):
        return train(job, tmp_path / folder, runtime=tiny_jobs.CPU).get("weights_sha256", "")

    def stopped(rank):
        real = Run.update

        def update(self, batch):
            if rank == 1 and batch.index == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, batch)

        Run.update = update  # this process is the test's own
        with pytest.raises(Terminated, match="saved after step 7"):
            fit("broken")
        saved = torch.load(tmp_path / "broken" / "resume.pt", weights_only=True)["done"]
        Run.update = real
        dist.barrier()
        return saved, fit("broken")

    ends, wanted = together(tmp_path, 2, stopped), together(tmp_path, 2, lambda rank: fit("whole"))
    assert ends == [(7, wanted[0]), (7, "")] and wanted[0]


def test_the_first_process_alone_tidies_up(tmp_path, monkeypatch):
    """What another fails to read may be what the first goes on from."""
    seen = []
    monkeypatch.setattr(loop, "load_resume", lambda *_, tidy, **__: seen.append(tidy))
    monkeypatch.setattr(loop, "check_same", lambda *_: None)
    for rank in range(2):
        with ranks.sharing(Ranks(rank, 2)):
            Run.resume(SimpleNamespace(folder=tmp_path, job=SimpleNamespace(fingerprint="f"), done=0))
    assert seen == [True, False]


def _kill(at):
    return tiny_jobs.terms("toy-kill", at=at)[-1][0], ADAPTATIONS["toy-kill"].settings(at=at)


def refused(job, folder, world=2):
    """What a process of several says of a job, without the others."""
    with ranks.sharing(Ranks(0, world)), pytest.raises(BadInput) as error:
        Run(job, folder, tiny_jobs.CPU)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_divided_is_refused(tmp_path, monkeypatch):
    """In one line that names the setting: compiled steps, parts that do not say that they can, too few images."""
    assert "training.compile" in refused(job_of(tmp_path, "toy", compile=True), tmp_path / "run")
    assert "adaptation toy-spy" in refused(job_of(tmp_path, "toy", "toy-spy"), tmp_path / "run")
    assert "more than the 2 images of a round" in refused(job_of(tmp_path, "toy", accumulate=2), tmp_path / "run", 3)
    monkeypatch.setattr(plugin_example.Toy, "divisible", False)
    assert "segmenter toy" in refused(job_of(tmp_path, "toy"), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("segmenter", NETWORKS)
def test_every_segmenter_divides(tmp_path, segmenter):
    """Each network alone is the same in two processes."""
    check_parity(tmp_path, job_of(tmp_path, segmenter))


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("segmenter", ["toy", *NETWORKS])
def test_every_method_divides(tmp_path, name, segmenter):
    """Each adaptation on each network is the same in two processes of two and three images."""
    # one image alone has a single cell per group in the coarsest map of 32 pixels, which torch's group norm refuses
    check_parity(tmp_path, job_of(tmp_path, segmenter, name, batch=5))
