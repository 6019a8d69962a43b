"""Masked feature modeling where a segmenter sees an image twice, as HRDA does."""

from dataclasses import replace

import pytest
import tiny_jobs
import torch
from two_scales import TwoScaleToy

from xdseg.adaptations.build import build_adaptations
from xdseg.adaptations.mfm.masks import merged
from xdseg.adaptations.mfm.places import WHOLE, detached, hidden_pixels
from xdseg.data.loading import StepBatches
from xdseg.segmenters.contract import Features, Part
from xdseg.training.step import Step
from xdseg.training.train_step import TrainStep, prepared


@pytest.fixture
def two_scales(tmp_path):
    """Makes the adaptation and a step of the segmenter that sees a detail."""

    def made(**settings):
        terms = [("dacs", {"threshold": 0.0}), ("mfm", {"token_px": 8} | settings)]
        job = tiny_jobs.make_job(tmp_path, adaptations=terms, target="images")
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
    teachers, step = two_scales(target="teacher-feature")
    assert list(teachers.masks(step, "target", features)) == [WHOLE]
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


def test_detaching_leaves_no_way_to_the_encoder():
    """Maps, whatever the context holds, and parts with theirs lose their gradients; values and the rest stay."""
    x = torch.ones(2, requires_grad=True) * 2
    inner = Features({"m": x}, context={"kept": "text"})
    found = detached(
        Features({"m": x}, {"pair": (x, None), "by_name": {"x": x}}, {"p": Part(inner, (0, 0, 1, 1), 0.5)})
    )
    part = found.parts["p"]
    assert (part.box, part.scale, part.features.context) == ((0, 0, 1, 1), 0.5, {"kept": "text"})
    left = [found.maps["m"], found.context["pair"][0], found.context["by_name"]["x"], part.features.maps["m"]]
    assert all(not value.requires_grad and torch.equal(value, x) for value in left) and found.context["pair"][1] is None
