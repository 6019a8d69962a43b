"""Several processes that share a batch compute what one process computes, to float tolerance; their networks are equal.

Processes are forked and meet through gloo. SGD, since Adam turns a gradient that is rounding alone into a whole step.
"""

import json
import multiprocessing
from dataclasses import dataclass, replace

import plugin_example
import pytest
import tiny_jobs
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.segmenters.dense import DensePrediction
from xdseg.training import device as devices
from xdseg.training import ranks
from xdseg.training.loop import Run, train
from xdseg.training.ranks import Ranks, Share
from xdseg.training.shared_norm import SharedBatchNorm, share_norms
from xdseg.training.whole_draws import whole_draws

STEPS = 3
OWN = [name for name in ADAPTATIONS if not ADAPTATIONS[name].build.startswith("plugin_example")]
NETWORKS = [name for name in SEGMENTERS if not SEGMENTERS[name].build.startswith("plugin_example")]
TIMEOUT = 240


@pytest.fixture(autouse=True)
def _toys_divide(monkeypatch):
    """The toy network has losses and dropout of the package, so it may say that it can be divided."""
    monkeypatch.setattr(plugin_example.Toy, "divisible", True)


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


@dataclass
class End:
    """What a few steps left."""

    first: dict  # parameters before
    state: dict  # the whole module's state after
    losses: list[dict]


def stepped(job, folder):
    """The first steps of a job in this process, as a plain dict."""
    with devices.reproducible():
        run = Run(job, folder, tiny_jobs.CPU)
        first = {name: value.detach().clone() for name, value in run.module.named_parameters()}
        batches, losses = StepBatches(job), []
        for step in range(STEPS):
            run.optimisers.set_rates(step)
            losses.append(run.update(batches[step]))
        return {"first": first, "state": dict(run.module.state_dict()), "losses": losses}


def check_parity(tmp_path, job, *, world=2, tolerance=1e-3):
    """Several processes' states are equal to the bit, and one process's up to a small share of what training moved."""
    alone = End(**stepped(job, tmp_path / "alone"))
    ends = [End(**end) for end in together(tmp_path, world, lambda rank: stepped(job, tmp_path / f"rank-{rank}"))]
    for name, value in ends[0].state.items():
        for other in ends[1:]:
            assert torch.equal(value, other.state[name]), f"{name} differs between processes"
    for one, several in zip(alone.losses, ends[0].losses, strict=True):
        assert several == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert alone.losses[0] == pytest.approx(ends[0].losses[0], rel=2e-5, abs=1e-6), "the first step, before any update"
    moved = {name: (alone.state[name] - value).norm() for name, value in alone.first.items()}
    apart = {name: (alone.state[name] - ends[0].state[name]).norm() for name in moved}
    whole = torch.stack(list(moved.values())).norm()
    assert whole > 0
    far = {name: float(apart[name] / whole) for name in apart if apart[name] > tolerance * whole}
    assert not far, f"moved otherwise than in one process: {far}"


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
    "pasting, jitter, teacher": ("deeplabv3plus", ["dacs"]),
    "discriminators": ("deeplabv2", ["adversarial"]),
    "masked views": ("toy", ["masked-consistency"]),
    "rebuilt maps": ("toy", ["dacs", "mfm"]),
    "regions": ("toy", ["tmt"]),
}


@pytest.mark.parametrize("case", list(REPRESENTATIVE))
def test_two_processes_equal_one(tmp_path, case):
    """Losses, parameters and statistics are those of one process with the same batch, whatever a method couples."""
    segmenter, adaptations = REPRESENTATIVE[case]
    check_parity(tmp_path, job_of(tmp_path, segmenter, *adaptations))


def test_uneven_shares_equal_one_process(tmp_path):
    """Five images in two rounds do not exist, but five over two processes, and six over four in rounds of three, do."""
    check_parity(tmp_path, job_of(tmp_path, "toy", "dacs", batch=5), world=2)
    check_parity(tmp_path, job_of(tmp_path, "toy", "dacs", batch=10, accumulate=2), world=3)


VARIANTS = {
    "halves of source and target": ("toy", [("masked-consistency", {"images": "both"})]),
    "classes of the batch": ("toy", [("dacs", {"classes_of": "batch"})]),
    "mean over all pixels": ("toy", [], {"mean_over": "all"}),
    "prototypes": ("toy", [("tmt", {"acte": {"transferability": "proto"}, "entropy_weight": 0.1})]),
    "rebuilt features": ("toy", [("mfm", {"target": "feature"})]),
}


@dataclass(frozen=True)
class OwnMean(DensePrediction):
    """A prediction whose loss is the mean over this process's pixels: wrong where shares differ in labelled pixels."""

    def loss(self, labels, weights=None):
        """As in a plugin that knows nothing of other processes."""
        return {"cross_entropy": F.cross_entropy(self.scores(tuple(labels.shape[-2:])), labels, ignore_index=255)}


def test_the_comparison_notices_a_mean_of_ones_own(tmp_path, monkeypatch):
    """A loss that divides by the process's own pixels is found: parts of it do not add up to the batch's mean."""
    decode = plugin_example.Toy.decode
    monkeypatch.setattr(
        plugin_example.Toy, "decode", lambda self, *a, **k: OwnMean(decode(self, *a, **k).logits)
    )
    with pytest.raises(AssertionError):
        check_parity(tmp_path, job_of(tmp_path, "toy"))


@pytest.mark.slow
@pytest.mark.parametrize("segmenter", NETWORKS)
def test_every_segmenter_divides(tmp_path, segmenter):
    """Each network alone is the same in two processes."""
    check_parity(tmp_path, job_of(tmp_path, segmenter))


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("segmenter", ["toy", *NETWORKS])
def test_every_method_divides(tmp_path, name, segmenter):
    """Each adaptation on each network is the same in two processes, each with an uneven share."""
    check_parity(tmp_path, job_of(tmp_path, segmenter, name, batch=3))
