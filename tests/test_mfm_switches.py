"""Switches of masked feature modeling: each does what it says, and trains."""

import pytest
import torch
from mfm_runs import run_of, step_of, term_of
from tiny_runs import fit
from two_scales import TwoScaleToy

from xdseg.adaptations.mfm.mfm import Mfm
from xdseg.adaptations.mfm.places import WHOLE
from xdseg.settings.mfm import Mfm as Settings

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


def test_visible_pixels_weigh_nothing_in_a_loss_on_hidden_ones(tmp_path, monkeypatch):
    """What is ignored is a negative of every mask to a mask classifier, so its weight must be 0 as well."""
    run = run_of(tmp_path, {"loss_on": "masked"})
    step, seen = step_of(run), {}
    features, adaptation = step.features("target"), run.module.adaptations["mfm"]
    keeps = adaptation.masks(step, "target", features)
    prediction = type(step.decode(features, "any"))
    monkeypatch.setattr(prediction, "loss", lambda self, labels, weights: seen.update(weights=weights) or {})
    adaptation.losses(step)
    hidden = torch.kron(1 - keeps[WHOLE].float(), torch.ones(1, 8, 8))
    assert torch.equal(seen["weights"], step.pseudo_labels().weights * hidden) and 0 < hidden.mean() < 1


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


def test_teachers_maps_are_the_goal(tmp_path):
    """With teacher-feature the error shrinks to 0 where the rebuilt maps are the teacher's, and none is decoded."""
    run = run_of(tmp_path, {"target": "teacher-feature"}, others=())
    adaptation, step = run.module.adaptations["mfm"], step_of(run)
    wanted = run.module.teacher.segmenter.encode(step.target.images).maps
    given = step.teacher_features("target").maps
    assert all(torch.equal(wanted[name], value) and not value.requires_grad for name, value in given.items())
    adaptation.rebuilder.forward = lambda maps, keep: {name: value + 2 for name, value in wanted.items()}
    torch.testing.assert_close(term_of(run, step), torch.tensor(4.0))


def test_augmented_view_is_the_changed_target(tmp_path):
    """With view augmented the encoder sees jittered target images, the teacher still the plain ones."""
    run = run_of(tmp_path, {"view": "augmented", "views": {"jitter_p": 0, "blur_p": 1}})
    step, plain = step_of(run), step_of(run)
    term_of(run, step)
    assert not torch.equal(step.view("mfm"), step.target.images)
    assert torch.equal(step.pseudo_labels().labels, plain.pseudo_labels().labels)
