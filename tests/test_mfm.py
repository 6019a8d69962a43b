"""Masked feature modeling as a whole: its loss from its parts, what it trains, its passes, and its switches."""

import pytest
import tiny_jobs
import torch
from mfm_runs import SURE, run_of, step_of, term_of
from torch.utils.flop_counter import FlopCounterMode

from xdseg.adaptations.mfm.masks import merged
from xdseg.adaptations.mfm.places import WHOLE, places
from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput
from xdseg.segmenters.contract import Features
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared

EVERY_HOST = ["toy", "deeplabv3plus", "deeplabv2", "daformer", "hrda", "eomt"]


@pytest.mark.parametrize("segmenter", EVERY_HOST)
def test_nothing_hidden_is_the_hosts_loss(tmp_path, segmenter):
    """At ratio 0 rebuilt features have the bits of the encoder's, and the term is the host's loss on the target.

    Of every place that has a mask: HRDA's detail too.
    """
    run = run_of(tmp_path, {"ratio": 0, "weight": 0.5, "width": 32}, segmenter=segmenter)
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    features = step.features("target")
    rebuilt = adaptation.rebuilt(features, adaptation.masks(step, "target", features))
    before, after = (places(some, parts=True) for some in (features, rebuilt))
    assert list(before) == list(after) == [WHOLE] + ["detail"] * (segmenter == "hrda")
    for place, maps in before.items():
        assert maps.keys() == after[place].keys()
        assert all(torch.equal(value, after[place][name]) for name, value in maps.items()), place
    given = step.pseudo_labels()
    wanted = step.decode(features, "mfm/target").loss(given.labels, given.weights)
    found = adaptation.losses(step)
    assert {name: value.item() for name, value in found.items()} == {n: 0.5 * v.item() for n, v in wanted.items()}


def test_loss_is_the_decoders_on_hand_merged_features(tmp_path):
    """Where the mask is 0 each map holds the rebuilder's output, elsewhere the encoder's; then the host's own loss."""
    run = run_of(tmp_path)
    adaptation, step, network = run.module.adaptations["mfm"], step_of(run), run.module.segmenter
    keep = torch.rand(4, 4, 4, generator=step.stream("mfm/target/whole")) >= 0.4
    maps = network.encode(step.target.images).maps
    made = adaptation.rebuilder(maps, keep)
    mixed = {}
    for name, times in (("fine", 4), ("deep", 2)):
        mask = torch.kron(keep.float(), torch.ones(1, times, times))[:, None]
        mixed[name] = mask * maps[name] + (1 - mask) * made[name]
    given = step.pseudo_labels()
    wanted = network.decode(Features(mixed)).loss(given.labels, given.weights)["cross_entropy"]
    assert 0 < keep.float().mean() < 1
    torch.testing.assert_close(adaptation.losses(step)["cross_entropy"], wanted)


def test_zero_fill_without_rebuilding(tmp_path):
    """With rebuild off, hidden cells are 0, kept ones as they were, and there is nothing to train."""
    run = run_of(tmp_path, {"rebuild": False})
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    features = step.features("target")
    keeps = adaptation.masks(step, "target", features)
    mask = torch.kron(keeps[WHOLE].float(), torch.ones(1, 2, 2))[:, None]
    assert torch.equal(adaptation.rebuilt(features, keeps).maps["deep"], mask * features.maps["deep"])
    assert list(adaptation.parameters()) == [] and term_of(run).isfinite()


def gradients(run):
    """Which of encoder, rest of the network, and rebuilder the term leaves a gradient in."""
    term_of(run).backward()
    network = run.module.segmenter
    named = [("rest" if network.is_head(name) else "encoder", p) for name, p in network.named_parameters()]
    named += [("rebuilder", p) for p in run.module.adaptations["mfm"].parameters()]
    return {part for part, parameter in named if parameter.grad is not None and parameter.grad.any()}


@pytest.mark.parametrize("segmenter", ["toy", "deeplabv3plus", "daformer"])
@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        ("none", {"encoder", "rest", "rebuilder"}),
        ("encoder", {"rest", "rebuilder"}),
        ("decoder", {"encoder", "rebuilder"}),
    ],
)
def test_what_the_term_trains(tmp_path, segmenter, freeze, trained):
    """Encoder, decoder and rebuilder; a frozen part gets no gradient, and the loss is the same to the bit."""
    run, whole = (run_of(tmp_path, {"freeze": f, "width": 32}, segmenter=segmenter) for f in (freeze, "none"))
    assert torch.equal(term_of(run), term_of(whole))
    assert gradients(run) == trained


@pytest.mark.parametrize("freeze", ["none", "encoder", "decoder"])
def test_decoder_of_eomt_is_what_decodes(tmp_path, freeze):
    """EoMT's last two blocks decode, the others encode; class tokens carry no gradient past a frozen encoder."""
    run = run_of(tmp_path, {"freeze": freeze}, segmenter="eomt")
    network = run.module.segmenter
    term_of(run).backward()
    learnt = [any(p.grad is not None and p.grad.any() for p in block.parameters()) for block in network.encoder.blocks]
    encode, decode = [freeze != "encoder"] * network.first, [freeze != "decoder"] * 2
    assert learnt == encode + decode and network.first > 0


def test_gradient_reaches_the_encoder_both_ways(tmp_path):
    """Through kept cells and through the embedding: with either way cut by hand the encoder still learns."""
    run = run_of(tmp_path)
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    features = step.features("target")
    keeps = adaptation.masks(step, "target", features)
    given, weight = step.pseudo_labels(), run.module.segmenter.encoder["fine"].weight
    maps, cut = features.maps, {name: value.detach() for name, value in features.maps.items()}
    for seen, read in ((maps, cut), (cut, maps)):
        mixed = features.with_maps(merged(seen, adaptation.rebuilder(read, keeps[WHOLE]), keeps[WHOLE]))
        loss = step.decode(mixed, "any").loss(given.labels, given.weights)["cross_entropy"]
        assert torch.autograd.grad(loss, weight, retain_graph=True)[0].any()


@pytest.mark.parametrize("segmenter", EVERY_HOST)
def test_nothing_remains_at_test_time(tmp_path, segmenter):
    """Saved keys, parameters and multiply-accumulates are the host's."""
    costs = []
    for terms in ([SURE], [SURE, ("mfm", {"width": 32})]):
        job = tiny_jobs.make_job(tmp_path, segmenter=segmenter, adaptations=terms, target="images")
        module = Run(job, tmp_path / "run", tiny_jobs.CPU).module.eval()
        state = module.inference_state()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.segmenter.predict(torch.zeros(1, 3, 64, 64))
        costs.append((list(state), sum(value.numel() for value in state.values()), counter.get_total_flops()))
    assert costs[0] == costs[1] and costs[0][2] > 0


def test_passes_of_one_step(tmp_path, monkeypatch):
    """Beside dacs's: the target is encoded once and rebuilt maps decoded once; before the start, neither."""
    counts, seen = [], []
    for settings in ({}, {"start": 0.05}, {"weight": 0}, {"target": "student-feature"}, {"domain": "source"}):
        run = run_of(tmp_path, settings)
        for name in ("encode", "decode"):
            plain = getattr(run.module.segmenter, name)
            spy = lambda *a, name=name, plain=plain, **k: seen.append(name) or plain(*a, **k)  # noqa: E731
            monkeypatch.setattr(run.module.segmenter, name, spy)
        run.module(StepBatches(run.job)[0])
        counts.append((seen.count("encode"), seen.count("decode")))
        seen.clear()
    assert counts == [(3, 3), (2, 2), (2, 2), (3, 2), (2, 3)]


def test_term_begins_with_its_share_of_steps(tmp_path):
    """At 0.3 of 10 steps the term is there from the fourth step on."""
    run = run_of(tmp_path, {"start": 0.3})
    batches = StepBatches(run.job)
    there = [bool(run.module.adaptations["mfm"].losses(Step(run.module, prepared(batches[n])))) for n in range(5)]
    assert there == [False, False, False, True, True]


def test_without_pseudo_labels_it_is_refused(tmp_path):
    """With no self-training beside it, one line says what is missing."""
    with pytest.raises(BadInput, match="adaptation mfm: needs pseudo-labels"):
        run_of(tmp_path, others=())


def test_rates_of_its_own(tmp_path):
    """2e-4 and decay 0.01 in AdamW, also where the host has SGD; null takes the head's rate."""
    recipe = {"optimizer": "sgd", "lr": 0.1, "head_lr_factor": 10, "weight_decay": 5e-4, "warmup": 0.0}
    for settings, rate in (({}, 2e-4), ({"lr": None}, 1.0)):
        run = run_of(tmp_path, settings, **recipe)
        groups = run.module.adaptations["mfm"].parameter_groups(run.job.training)
        assert {group["optimizer"] for group in groups} == {"adamw"} and {group["lr"] for group in groups} == {rate}
        assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
        assert sorted(type(member).__name__ for member in run.optimisers.members) == ["AdamW", "SGD"]
