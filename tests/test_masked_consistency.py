"""Masked consistency: which pixels are hidden, whose labels train, and its passes."""

import pytest
import tiny_jobs
import torch
from pydantic import ValidationError

from xdseg.adaptations.masked_consistency import draw_blocks
from xdseg.adaptations.photometric import changed
from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput
from xdseg.settings.masked_consistency import MaskedConsistency as Settings
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared

NAME = "masked-consistency"


def draws(seed=0):
    """A generator."""
    return torch.Generator().manual_seed(seed)


def blocks(height, width, *, block, ratio, count=2, seed=0):
    """Which pixels of `count` images of that size are kept."""
    return draw_blocks(torch.zeros(count, 3, height, width), draws(seed), block=block, ratio=ratio)


def run_of(tmp_path, dacs=None, **settings):
    """A run of `dacs`, whose labels weigh something, and the term; the toy has no dropout."""
    terms = [("dacs", {"threshold": 0.4} | (dacs or {})), (NAME, {"block": 8} | settings)]
    job = tiny_jobs.make_job(tmp_path, adaptations=terms, target="images", network={"dropout": 0})
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


def first_step(run):
    """The run's first step and the term."""
    return Step(run.module, prepared(StepBatches(run.job)[0])), run.module.adaptations[NAME]


def test_defaults_are_those_of_synthetic_to_real():
    """Blocks of 64, 70% hidden, weight 1, target with changed colours: strength 0.2, in 80% of the steps."""
    settings = Settings()
    assert (settings.weight, settings.block, settings.ratio) == (1, 64, 0.7)
    assert (settings.view, settings.images) == ("augmented", "target")
    views = settings.views
    assert (views.jitter_strength, views.jitter_p, views.jitter_p_means, views.blur_p) == (0.2, 0.2, "threshold", 0.5)
    assert Settings(views={"blur_p": 0}).views.jitter_strength == 0.2, "the strength does not fall back to that of DACS"
    assert Settings(block=32).identity() == {"block": 32}
    with pytest.raises(ValidationError, match="block"):
        Settings(block=0)


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_share_of_hidden_blocks(ratio):
    """Of 300 x 2 x 64 blocks, the hidden share is the ratio within three deviations, and each image draws anew."""
    kept = torch.stack([blocks(64, 64, block=8, ratio=ratio, seed=seed) for seed in range(300)])
    hidden = 1 - kept.float().mean().item()
    assert abs(hidden - ratio) < 3 * (ratio * (1 - ratio) / (300 * 2 * 64)) ** 0.5
    assert not torch.equal(kept[:, 0], kept[:, 1])
    both = (~kept[:, 0, ::8, ::8] & ~kept[:, 1, ::8, ::8]).float().mean().item()
    assert both == pytest.approx(ratio**2, abs=0.02), "no block hangs on that of the other image"


def test_ratio_one_hides_all_and_zero_nothing():
    """The ends of the range."""
    assert not blocks(16, 16, block=4, ratio=1).any() and blocks(16, 16, block=4, ratio=0).all()


def test_blocks_are_aligned_and_the_last_ones_cut():
    """On 20 x 27 pixels: 3 x 4 whole or cut blocks of 8, the lowest 4 and the last 3 pixels wide."""
    kept = blocks(20, 27, block=8, ratio=0.5, count=40)
    corners = kept[:, ::8, ::8]
    assert corners.shape == (40, 3, 4) and 0 < corners.float().mean() < 1
    for row in range(20):
        for column in range(27):
            assert torch.equal(kept[:, row, column], corners[:, row // 8, column // 8])


def test_divisible_sides_have_as_many_draws_as_published():
    """One uniform draw per image and block, kept above the ratio, enlarged to the nearest: for 16 x 24 and 8."""
    grid = (torch.rand(2, 2, 3, generator=draws(5)) > 0.7).float()
    expected = torch.nn.functional.interpolate(grid[:, None], (16, 24), mode="nearest")[:, 0].bool()
    assert torch.equal(blocks(16, 24, block=8, ratio=0.7, seed=5), expected)


def test_hidden_pixels_are_zero_and_others_as_they_were(tmp_path):
    """The masked view is the clean target, or exactly 0 in all channels: ImageNet's mean."""
    run = run_of(tmp_path, view="clean", ratio=0.5)
    step, adaptation = first_step(run)
    adaptation.losses(step)
    masked, target = step.view("masked"), step.view("target")
    kept = draw_blocks(target, step.stream("masks"), block=8, ratio=0.5)
    assert torch.equal(masked.permute(0, 2, 3, 1)[kept], target.permute(0, 2, 3, 1)[kept])
    assert (masked.permute(0, 2, 3, 1)[~kept] == 0).all() and 0 < kept.float().mean() < 1


@pytest.mark.parametrize("view", ["clean", "augmented"])
def test_loss_is_the_weighted_loss_of_the_masked_target(tmp_path, view):
    """Put together by hand: colours by their own stream, then the mask; the teacher's labels of the plain image."""
    run = run_of(tmp_path, view=view, weight=0.5, ratio=0.4, views={"jitter_p": 0, "blur_p": 1})
    step, adaptation = first_step(run)
    loss = adaptation.losses(step)["cross_entropy"]
    images = step.target.images
    if view == "augmented":
        images = changed(images, adaptation.settings.views, step.stream("photometric/masked"))
        assert not torch.allclose(images, step.target.images, atol=0.01)
    masked = images * draw_blocks(images, step.stream("masks"), block=8, ratio=0.4)[:, None]
    labels = run.module.teacher.probabilities(step.target.images).argmax(1)
    labels[(step.pseudo_labels().labels == 255)] = 255  # padding
    weight = step.pseudo_labels().weights[0, 0, 0]
    assert 0.05 < weight < 0.95 and (labels != 255).float().mean() > 0.9
    network = run.module.segmenter
    logits = network.decode(network.encode(masked)).scores(tuple(labels.shape[-2:]))
    expected = 0.5 * weight * torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(loss, expected)


def test_rows_that_dacs_ignores_are_ignored_here(tmp_path):
    """The term takes weights as they are given: with all rows ignored it is 0."""
    step, adaptation = first_step(run_of(tmp_path, {"ignore_top": 32}))
    assert adaptation.losses(step)["cross_entropy"].item() == 0


def test_both_domains_share_the_batch(tmp_path):
    """Half of the source with its labels at weight 1, half of the target with the teacher's, as many images in all."""
    run = run_of(tmp_path, images="both", view="clean", ratio=0.0)
    step, adaptation = first_step(run)
    images, given = adaptation.chosen(step)
    assert torch.equal(images, torch.cat([step.source.images[:2], step.target.images[:2]]))
    assert torch.equal(given.labels, torch.cat([step.source.labels[:2], step.pseudo_labels().labels[:2]]))
    assert (given.weights[:2] == 1).all() and torch.equal(given.weights[2:], step.pseudo_labels().weights[2:])
    adaptation.losses(step)
    assert torch.equal(step.view("masked"), images)


def test_masks_differ_by_step_and_round(tmp_path):
    """Each step, and each round of one, hides other blocks; the same one hides the same."""
    run, batches = run_of(tmp_path, view="clean"), []
    for index, part in ((0, 0), (0, 0), (0, 1), (1, 0)):
        batch = StepBatches(run.job)[index].rounds(2)[part]
        step = Step(run.module, prepared(batch))
        run.module.adaptations[NAME].losses(step)
        batches.append((step.view("masked") == 0).all(1))
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2]) and not torch.equal(batches[0], batches[3])


def test_passes(tmp_path, monkeypatch):
    """One more pass of the student and none of the teacher, which has labelled the target already; at weight 0 none."""
    for weight in (1, 0):
        run, seen = run_of(tmp_path, weight=weight), []
        for name, network in (("student", run.module.segmenter), ("teacher", run.module.teacher.segmenter)):
            encode = network.encode
            monkeypatch.setattr(network, "encode", lambda *a, n=name, e=encode, s=seen, **k: s.append(n) or e(*a, **k))
        losses = run.module(StepBatches(run.job)[0])
        names = ["source/cross_entropy", "dacs/cross_entropy", f"{NAME}/cross_entropy"]
        assert list(losses) == names[: 3 if weight else 2]
        assert sorted(seen) == ["student"] * (3 if weight else 2) + ["teacher"]


def test_needs_a_provider_and_target_images(tmp_path):
    """Alone, or where the setting grants no target, it is refused in one line."""
    for target, message in (("images", "needs pseudo-labels, which no other"), ("none", "needs the target's images")):
        job = tiny_jobs.make_job(tmp_path, adaptations=[(NAME, {})], target=target)
        with pytest.raises(BadInput, match=message):
            Run(job, tmp_path / "run", tiny_jobs.CPU)
