"""Feature distance: which cells count, the distance by hand, and where the reference comes from."""

import numpy as np
import pytest
import tiny_jobs
import torch
import torch.nn.functional as F

from xdseg.adaptations.feature_distance import FeatureDistance, cell_labels, map_name, masked_distance, thing_ids
from xdseg.data.loading import StepBatches
from xdseg.datasets.spaces import SPACES
from xdseg.errors import BadInput
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.contract import Description, MapSpec
from xdseg.settings.feature_distance import FeatureDistance as Settings
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared

TOY = Description(tiny_jobs.CLASSES, (MapSpec("fine", 8, 2), MapSpec("deep", 16, 4)), multiple=4)


def cell(*counts, ignored=0):
    """4 x 4 labels: so many pixels of class 0, 1, ..., then ignored ones."""
    return torch.tensor(np.repeat([*range(len(counts)), 255], [*counts, ignored])).view(4, 4)


def four(upper_left, upper_right, lower_left, lower_right):
    """(1, 8, 8) labels of four cells."""
    upper, lower = torch.cat([upper_left, upper_right], 1), torch.cat([lower_left, lower_right], 1)
    return torch.cat([upper, lower])[None]


def test_cells_by_hand():
    """12 of 16 pixels are the 0.75 that is asked for, 11 are not; two classes that fill a cell together are not."""
    labels = four(cell(4, 12), cell(5, 11), cell(16), cell(0, 8, 8))
    assert cell_labels(labels, (2, 2), classes=3, min_share=0.75).tolist() == [[[1, 255], [0, 255]]]
    assert cell_labels(labels, (2, 2), classes=3, min_share=0.6).tolist() == [[[1, 1], [0, 255]]]


def test_ignored_pixels_are_a_label_of_the_cell():
    """They take from the share of the others, and where they are most of a cell nothing else can be."""
    labels = four(cell(0, 12, ignored=4), cell(0, 11, ignored=5), cell(7, ignored=9), cell(ignored=16))
    assert cell_labels(labels, (2, 2), classes=3, min_share=0.75).tolist() == [[[1, 255], [255, 255]]]
    assert cell_labels(labels, (2, 2), classes=3, min_share=0.25).tolist() == [[[1, 1], [255, 255]]]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_cells_are_those_of_average_pooled_one_hot_labels(factor):
    """The published form: one-hot with ignored pixels as one more class, average pooling, the largest share."""
    rng = np.random.default_rng(factor)
    maps = np.stack([tiny_jobs.label_map(rng, 32, 64) for _ in range(3)]).astype(np.int64)
    maps[rng.random(maps.shape) < 0.2] = 255
    labels = torch.from_numpy(maps)
    pooled = F.avg_pool2d(F.one_hot(labels.clamp(max=3), 4).permute(0, 3, 1, 2).float(), factor)
    share, expected = pooled.max(1)
    expected[(share < 0.75) | (expected == 3)] = 255
    found = cell_labels(labels, (32 // factor, 64 // factor), classes=3, min_share=0.75)
    assert torch.equal(found, expected) and 0 < (found == 255).float().mean() < 1


def test_grids_that_do_not_divide_cover_all_pixels():
    """7 columns on 3 cells: 0-2, 2-4, 4-6; a thing in the last three columns fills the last one."""
    labels = torch.zeros(1, 4, 7, dtype=torch.int64)
    labels[..., 4:] = 2
    assert cell_labels(labels, (1, 3), classes=3, min_share=0.75).tolist() == [[[0, 255, 2]]]


def test_distance_by_hand():
    """Differences (3, 4), (0, 0) and (6, 8) in two, then in one of four cells: 2.5, and 10; a masked one is no part."""
    theirs = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    moved = torch.tensor([[3.0, 0.0, 6.0, 100.0], [4.0, 0.0, 8.0, 100.0]]).view(1, 2, 2, 2)
    mask = torch.tensor([[[True, True], [False, False]]])
    torch.testing.assert_close(masked_distance(theirs + moved, theirs, mask), torch.tensor(2.5))
    mask = torch.tensor([[[False, False], [True, False]]])
    torch.testing.assert_close(masked_distance(theirs + moved, theirs, mask), torch.tensor(10.0))


@pytest.mark.parametrize(("cells", "distance"), [(0, 0.0), (4, 0.0)])
def test_nowhere_and_no_distance_give_zero(cells, distance):
    """Without a valid cell, and where features have not moved: exactly 0, with a gradient of zeros."""
    theirs = torch.ones(1, 2, 2, 2)
    ours = (theirs + (1 if cells == 0 else 0)).requires_grad_()
    found = masked_distance(ours, theirs, torch.arange(4).view(1, 2, 2) < cells)
    found.backward()
    assert found.item() == distance and torch.equal(ours.grad, torch.zeros_like(ours))


def test_default_classes_are_things_of_cityscapes():
    """Ids 6, 7 and 11 to 18; where a suite lacks some, they are passed over: of 16 classes 8 things are left."""
    for space, expected in (("cityscapes", [6, 7, *range(11, 19)]), ("cityscapes-16", [6, 7, *range(10, 16)])):
        description = Description(tuple(SPACES[space]), TOY.maps, multiple=4)
        assert list(thing_ids(Settings(), description)) == expected


def test_what_is_not_there_is_said():
    """One line names the key and what to write there."""
    with pytest.raises(
        BadInput, match=r"feature-distance: classes: the suite has none of them; name some of red, green"
    ):
        FeatureDistance(Settings(), TOY)
    with pytest.raises(BadInput, match=r"feature-distance: map: the segmenter has no 'deap'; did you mean 'deep'"):
        FeatureDistance(Settings(classes=["red"], map="deap"), TOY)
    assert [map_name(Settings(map=name), TOY) for name in ("last", "deep", "fine")] == ["deep", "deep", "fine"]


def run_of(tmp_path, **settings):
    """A run with the term, whose student's encoder has moved."""
    values = {"classes": ["red", "blue", "zebra"]} | settings
    job = tiny_jobs.make_job(tmp_path, adaptations=[("feature-distance", values)], network={"dropout": 0})
    run = Run(job, tmp_path / "run", tiny_jobs.CPU)
    with torch.no_grad():
        for parameter in run.module.segmenter.encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return run


@pytest.mark.parametrize(("name", "stride"), [("last", 4), ("fine", 2)])
def test_term_is_the_mean_over_thing_cells(tmp_path, name, stride):
    """Worked out cell by cell from both networks' maps: cells that one of the named classes covers by 3/4."""
    run = run_of(tmp_path, weight=0.5, map=name)
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    found = run.module.adaptations["feature-distance"].losses(step)["distance"]
    key = "deep" if name == "last" else name
    first = SEGMENTERS["toy"].load()(run.job.segmenter_settings, run.job.classes)
    first.load_state_dict(run.module.reference.state_dict())
    ours, theirs = (net.maps(step.source.images)[key].detach().numpy() for net in (run.module.segmenter, first))
    distances, labels = [], step.source.labels.numpy()
    for image, row, column in np.ndindex(len(ours), *ours.shape[-2:]):
        seen = labels[image, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        if any((seen == thing).mean() >= 0.75 for thing in (0, 2)):
            distances.append(np.sqrt(((ours - theirs)[image, :, row, column] ** 2).sum()))
    assert 0 < len(distances) < ours[:, 0].size
    assert found.item() == pytest.approx(0.5 * np.mean(distances), rel=1e-5)


def test_reference_stays_and_the_student_is_drawn_back(tmp_path):
    """Steps leave the reference as it was; a heavy term brings the student nearer to it."""
    run = run_of(tmp_path, weight=100)
    before = {key: value.clone() for key, value in run.module.reference.state_dict().items()}
    losses = [run.update(StepBatches(run.job)[step])["feature-distance/distance"] for step in range(8)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(value, before[key]) for key, value in run.module.reference.state_dict().items())


def test_passes(tmp_path, monkeypatch):
    """The source's own pass serves the term; the reference makes one more, and at weight 0 there is no reference."""
    run, seen = run_of(tmp_path), []
    for name, network in (("student", run.module.segmenter), ("reference", run.module.reference)):
        encode = network.encode
        monkeypatch.setattr(network, "encode", lambda *a, n=name, e=encode, **k: seen.append(n) or e(*a, **k))
    losses = run.module(StepBatches(run.job)[0])
    assert list(losses) == ["source/cross_entropy", "feature-distance/distance"]
    assert seen == ["student", "reference"]
    assert run_of(tmp_path, weight=0).module.reference is None


def test_source_without_things_trains_on(tmp_path):
    """A batch that shows none of the classes adds 0 and not NaN; the others' gradients are what they were."""
    gradients = []
    for weight in (0.5, 0):
        run = run_of(tmp_path, weight=weight)
        batch = StepBatches(run.job)[0]
        batch.source.labels.fill_(1)
        losses = run.module(batch)
        sum(losses.values()).backward()
        assert losses.get("feature-distance/distance", torch.zeros(())).item() == 0
        gradients.append([parameter.grad for parameter in run.module.segmenter.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))
