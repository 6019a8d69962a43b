"""Masked feature modeling as a whole: its loss from its parts, what it trains, its passes, and its switches."""

from dataclasses import replace

import pytest
import tiny_jobs
import torch
from tiny_runs import fit
from torch.utils.flop_counter import FlopCounterMode
from two_scales import TwoScaleToy

from xdseg.adaptations.build import build_adaptations
from xdseg.adaptations.mfm.masks import merged
from xdseg.adaptations.mfm.mfm import Mfm
from xdseg.adaptations.mfm.places import WHOLE, hidden_pixels
from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput
from xdseg.segmenters.contract import Features, Part
from xdseg.settings.mfm import Mfm as Settings
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import TrainStep, prepared

SURE = ("dacs", {"threshold": 0.0})  # so that pseudo-labels count in full
FINE = {"token_px": 8}  # 4 x 4 tokens of the toy's crop


def run_of(tmp_path, settings=None, *, segmenter="toy", network=None, others=(SURE,), target="images", **options):
    """A run of `mfm` behind `dacs` that has not begun; the toy has no dropout."""
    network = network or ({"dropout": 0} if segmenter == "toy" else {})
    terms = [*others, ("mfm", FINE | (settings or {}))]
    job = tiny_jobs.make_job(
        tmp_path, segmenter=segmenter, adaptations=terms, target=target, network=network, **options
    )
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


def step_of(run):
    """The first step of a run."""
    return Step(run.module, prepared(StepBatches(run.job)[0]))


def term_of(run, step=None):
    """The adaptation's terms in that step, summed."""
    return sum(run.module.adaptations["mfm"].losses(step or step_of(run)).values())


@pytest.mark.parametrize("segmenter", ["toy", "deeplabv3plus", "daformer", "eomt"])
def test_nothing_hidden_is_the_hosts_loss(tmp_path, segmenter):
    """At ratio 0 rebuilt features have the bits of the encoder's, and the term is the host's loss on the target."""
    run = run_of(tmp_path, {"ratio": 0, "weight": 0.5}, segmenter=segmenter)
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    features = step.features("target")
    rebuilt = adaptation.rebuilt(features, adaptation.masks(step, "target", features))
    assert all(torch.equal(value, rebuilt.maps[name]) for name, value in features.maps.items())
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


@pytest.mark.parametrize("segmenter", ["toy", "deeplabv3plus"])
def test_nothing_remains_at_test_time(tmp_path, segmenter):
    """Saved keys, parameters and multiply-accumulates are the host's."""
    costs = []
    for terms in ([SURE], [SURE, ("mfm", {})]):
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


SWITCHES = [
    *({"view": "augmented"}, {"loss_on": "masked"}, {"domain": "source"}, {"domain": "both"}, {"rebuild": False}),
    *({"target": "pixel"}, {"target": "student-feature"}, {"out_norm": False}),
    *({"blocks": 1}, {"width": 64}, {"head_dim": 8}, {"token_px": 16}, {"ratio": 0.8}, {"weight": 0.5}),
]


def test_switches_change_the_term(tmp_path):
    """Each value of each switch gives a finite loss of its own, that of a step in which all else is equal."""
    found = {"{}": term_of(run_of(tmp_path)).item()}
    for settings in SWITCHES:
        found[str(settings)] = value = term_of(run_of(tmp_path, settings)).item()
        assert value > 0
    assert len(set(found.values())) == len(found), found


@pytest.mark.parametrize(
    "settings",
    [
        *SWITCHES,
        {"target": "teacher-feature"},
        {"freeze": "encoder"},
        {"freeze": "decoder"},
        {"lr": None},
        {"weight_decay": 0.1},
        {"hrda": "context"},
    ],
    ids=str,
)
def test_every_value_trains(tmp_path, settings):
    """Two steps of each end in finite weights, also in half precision with clipped gradients."""
    run = run_of(tmp_path, settings, steps=2, precision="bf16", clip_grad_norm=1.0)
    assert fit(run.job, tmp_path / "fit")["steps"] == 2


def test_loss_on_hidden_pixels_by_hand(tmp_path):
    """Labels of kept tokens are left out: the mean runs over pixels under hidden tokens."""
    run = run_of(tmp_path, {"loss_on": "masked"})
    step = step_of(run)
    features, adaptation = step.features("target"), run.module.adaptations["mfm"]
    keeps = adaptation.masks(step, "target", features)
    scores = step.decode(adaptation.rebuilt(features, keeps), "any").scores((32, 32))
    hidden = torch.kron(1 - keeps[WHOLE].float(), torch.ones(1, 8, 8)) * (step.pseudo_labels().labels != 255)
    costs = torch.nn.functional.cross_entropy(scores, step.pseudo_labels().labels, reduction="none", ignore_index=255)
    torch.testing.assert_close(term_of(run, step), (costs * hidden).sum() / hidden.sum())


def test_both_domains_are_a_sum(tmp_path):
    """The terms of target and source, each as if alone; the source's has its own name and its true labels."""
    run = run_of(tmp_path, {"domain": "both"})
    both = run.module.adaptations["mfm"].losses(step_of(run))
    target, source = (term_of(run_of(tmp_path, {"domain": domain})) for domain in ("target", "source"))
    assert list(both) == ["cross_entropy", "source_cross_entropy"]
    assert torch.equal(both["cross_entropy"], target) and torch.equal(both["source_cross_entropy"], source)


@pytest.mark.parametrize(
    ("settings", "labels", "teacher"),
    [
        ({}, True, None),
        ({"domain": "source"}, False, None),
        ({"target": "pixel"}, False, None),
        ({"target": "teacher-feature", "alpha": 0.9, "teacher_norm": "running"}, False, 0.9),
    ],
)
def test_needs_follow_the_target(settings, labels, teacher):
    """Pseudo-labels where the target's classes are asked for; a teacher of its own for the teacher's maps alone."""
    needs = Mfm(Settings(**settings), TwoScaleToy(("a",)).describe()).needs
    assert (needs.target, needs.pseudo_labels, needs.teacher) == ("images", labels, teacher)
    assert needs.teacher_norm == ("running" if teacher else "batch")


def test_without_pseudo_labels_it_is_refused(tmp_path):
    """With no self-training beside it, one line says what is missing."""
    with pytest.raises(BadInput, match="adaptation mfm: needs pseudo-labels"):
        run_of(tmp_path, others=())


def test_teachers_maps_are_the_goal(tmp_path):
    """With teacher-feature the error shrinks to 0 where the rebuilt maps are the teacher's, and none is decoded."""
    run = run_of(tmp_path, {"target": "teacher-feature"}, others=())
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    wanted = run.module.teacher.segmenter.encode(step.target.images).maps
    given = step.teacher_features("target").maps
    assert all(torch.equal(wanted[name], value) and not value.requires_grad for name, value in given.items())
    adaptation.rebuilder.forward = lambda maps, keep: {name: value + 2 for name, value in wanted.items()}
    torch.testing.assert_close(term_of(run, step), torch.tensor(4.0))


def test_rates_of_its_own(tmp_path):
    """2e-4 and decay 0.01 in AdamW, also where the host has SGD; null takes the head's rate."""
    recipe = {"optimizer": "sgd", "lr": 0.1, "head_lr_factor": 10, "weight_decay": 5e-4, "warmup": 0.0}
    for settings, rate in (({}, 2e-4), ({"lr": None}, 1.0)):
        run = run_of(tmp_path, settings, **recipe)
        groups = run.module.adaptations["mfm"].parameter_groups(run.job.training)
        assert {group["optimizer"] for group in groups} == {"adamw"} and {group["lr"] for group in groups} == {rate}
        assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
        assert sorted(type(member).__name__ for member in run.optimisers.members) == ["AdamW", "SGD"]


@pytest.mark.parametrize("segmenter", ["toy", "daformer", "eomt"])
def test_who_asks_first_changes_no_bit(tmp_path, segmenter):
    """A student's pass with dropout is the same whether its features were asked for before it, after it or not."""
    job = tiny_jobs.make_job(tmp_path, segmenter=segmenter, adaptations=[SURE], target="images")
    run = Run(job, tmp_path / "run", tiny_jobs.CPU)
    alone, early = step_of(run), step_of(run)
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
    run = run_of(tmp_path, network={"dropout": 0.5})
    step = step_of(run)
    features = step.features("target")
    first = step.decode(features, "one").logits
    others = [step.decode(features, "two").logits, step.student("target").prediction.logits]
    assert torch.equal(first, step.decode(features, "one").logits)
    assert not any(torch.equal(first, other) for other in others)


def test_augmented_view_is_the_changed_target(tmp_path):
    """With view augmented the encoder sees jittered target images, the teacher still the plain ones."""
    run = run_of(tmp_path, {"view": "augmented", "views": {"jitter_p": 0, "blur_p": 1}})
    step, plain = step_of(run), step_of(run)
    term_of(run, step)
    assert not torch.equal(step.view("mfm"), step.target.images)
    assert torch.equal(step.pseudo_labels().labels, plain.pseudo_labels().labels)


@pytest.fixture
def two_scales(tmp_path):
    """Makes the adaptation and a step of the segmenter that sees a detail."""

    def made(**settings):
        job = tiny_jobs.make_job(tmp_path, adaptations=[SURE, ("mfm", FINE | settings)], target="images")
        torch.manual_seed(0)
        network = TwoScaleToy(tiny_jobs.CLASSES)
        module = TrainStep(network, build_adaptations(job, network.describe()), seed=0, total=10).train()
        return module.adaptations["mfm"], Step(module, prepared(StepBatches(job)[0]))

    return made


def test_parts_are_rebuilt_with_their_own_masks(two_scales):
    """Whole and detail have masks of their own and one rebuilder; the loss is the host's on both, merged by hand."""
    adaptation, step = two_scales()
    features, given = step.features("target"), step.pseudo_labels()
    keeps = adaptation.masks(step, "target", features)
    assert list(keeps) == [WHOLE, "detail"] and not torch.equal(keeps[WHOLE], keeps["detail"])
    part = features.parts["detail"]
    inner = part.features.maps
    rebuilt = merged(inner, adaptation.rebuilder(inner, keeps["detail"]), keeps["detail"])
    whole = merged(features.maps, adaptation.rebuilder(features.maps, keeps[WHOLE]), keeps[WHOLE])
    mixed = replace(
        features, maps=whole, parts={"detail": Part(part.features.with_maps(rebuilt), part.box, part.scale)}
    )
    wanted = step.decode(mixed, "any").loss(given.labels, given.weights)["cross_entropy"]
    assert torch.equal(adaptation.losses(step)["cross_entropy"], wanted)
    made = adaptation.rebuilt(features, keeps).parts["detail"]
    assert made.box == part.box and not torch.equal(made.features.maps["deep"], inner["deep"])


def test_parts_may_stay_as_they_are(two_scales):
    """With hrda context the detail keeps its bits; so it does where the teacher's maps are the goal."""
    adaptation, step = two_scales(hrda="context")
    features = step.features("target")
    keeps = adaptation.masks(step, "target", features)
    assert list(keeps) == [WHOLE]
    assert adaptation.rebuilt(features, keeps).parts["detail"].features is features.parts["detail"].features
    both, step = two_scales()
    assert both.losses(step)["cross_entropy"] != adaptation.losses(step)["cross_entropy"]


@pytest.mark.parametrize(
    "settings",
    [
        *({"target": "pixel"}, {"target": "student-feature"}, {"target": "teacher-feature"}, {"loss_on": "masked"}),
        *({"freeze": "encoder"}, {"freeze": "decoder"}, {"domain": "both"}, {"rebuild": False}),
    ],
    ids=str,
)
def test_switches_work_with_parts(two_scales, settings):
    """Each switch gives a finite term with a gradient where there are two views of an image."""
    adaptation, step = two_scales(**settings)
    total = sum(adaptation.losses(step).values())
    total.backward()
    toy = step._module.segmenter.toy
    trained = {name for name in ("encoder", "head") if any(p.grad is not None for p in getattr(toy, name).parameters())}
    decoded = "target" not in settings
    wanted = {"encoder": settings.get("freeze") != "encoder", "head": decoded and settings.get("freeze") != "decoder"}
    assert total > 0 and trained == {name for name, value in wanted.items() if value}


def test_pixels_hidden_in_any_view_by_hand():
    """A 4 x 4 image: the whole hides its right half, the detail of the top left 2 x 2 its upper row."""
    features = Features({}, parts={"detail": Part(Features({}), (0, 0, 2, 2), 1.0)})
    keeps = {WHOLE: torch.tensor([[[True, False]]]), "detail": torch.tensor([[[False], [True]]])}
    assert hidden_pixels(keeps, features, (4, 4)).int().tolist() == [
        [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    ]
