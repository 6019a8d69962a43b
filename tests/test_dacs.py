"""DACS as a whole: its loss from its parts, its passes, its resume, and that no target label reaches it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_jobs
import torch
from PIL import Image
from tiny_runs import fit, interrupted

from xdseg.adaptations.contract import PseudoLabels
from xdseg.adaptations.pseudo_labels import rows_ignored
from xdseg.cells import Context
from xdseg.cli import main
from xdseg.data.loading import StepBatches
from xdseg.grid import expand
from xdseg.params import parse
from xdseg.settings.dacs import Dacs
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared
from xdseg.workflow import cache_path


def run_of(tmp_path, settings=None, **options):
    """A run of `dacs` that has not begun, on the toy without dropout."""
    job = tiny_jobs.make_job(
        tmp_path, adaptations=[("dacs", settings or {})], target="images", network={"dropout": 0}, **options
    )
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


def test_loss_is_the_weighted_loss_of_the_mixture(tmp_path):
    """Without jitter and blur: the student's weighted loss on what is pasted together, times the term's weight."""
    run = run_of(tmp_path, {"weight": 0.5, "views": {"jitter_p": 1, "blur_p": 0}})
    adaptation = run.module.adaptations["dacs"]
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    loss, mixed = adaptation.losses(step)["cross_entropy"], adaptation.mixed(step)
    network = run.module.segmenter
    expected = network.decode(network.encode(mixed.images)).loss(mixed.labels, mixed.weights)["cross_entropy"]
    torch.testing.assert_close(loss, 0.5 * expected)
    pasted = (mixed.images == step.source.images).all(1) & (mixed.labels == step.source.labels)
    assert 0 < pasted.float().mean() < 1
    assert set(mixed.weights.unique().tolist()) == {1.0, step.pseudo_labels().weights[0, 0, 0].item()}


def test_labels_come_from_the_plain_target(tmp_path):
    """Pseudo-labels are the teacher's classes on the target as loaded, whatever is done to the mixed images."""
    run = run_of(tmp_path, {"threshold": 0.34})
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    given = run.module.adaptations["dacs"].pseudo_labels(step)
    probabilities = run.module.teacher.probabilities(step.target.images)
    inside = given.labels != 255
    assert torch.equal(given.labels[inside], probabilities.argmax(1)[inside])
    share = (probabilities.max(1).values[inside] >= 0.34).float().mean()
    assert 0 < share < 1
    torch.testing.assert_close(given.weights, share.expand(given.weights.shape))


@pytest.mark.parametrize(("top", "bottom"), [(3, 5), (0, 5), (3, 0), (40, 0), (0, 40)])
def test_ignored_rows_weigh_nothing(tmp_path, top, bottom):
    """The first and last rows have weight 0 and keep their labels; the others the weight that they have without."""
    plain, rows = run_of(tmp_path, {"threshold": 0.36}), {"ignore_top": top, "ignore_bottom": bottom}
    run = run_of(tmp_path, {"threshold": 0.36} | rows)
    given, free = (Step(r.module, prepared(StepBatches(r.job)[0])).pseudo_labels() for r in (run, plain))
    inner = slice(top, max(32 - bottom, 0))
    expected = torch.zeros_like(free.weights)
    expected[:, inner] = free.weights[:, inner]
    assert torch.equal(given.weights, expected) and torch.equal(given.labels, free.labels)
    assert free.weights.min() > 0, "else there is nothing to ignore"


def test_no_ignored_rows_leave_the_labels_as_they_are():
    """At the defaults the very same labels and weights come back."""
    given = PseudoLabels(torch.zeros(1, 4, 4, dtype=torch.int64), torch.ones(1, 4, 4))
    assert rows_ignored(given, top=0, bottom=0) is given
    assert Dacs(ignore_top=15, ignore_bottom=120).identity() == {"ignore_top": 15, "ignore_bottom": 120}
    assert Dacs().identity() == {}


def test_ignored_rows_count_in_the_mean_and_source_pixels_stay(tmp_path):
    """With all rows ignored the mixture's loss is that of its source pixels over all labelled ones."""
    run = run_of(tmp_path, {"threshold": 0.36, "ignore_top": 32, "views": {"jitter_p": 1, "blur_p": 0}})
    adaptation = run.module.adaptations["dacs"]
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    loss, mixed = adaptation.losses(step)["cross_entropy"], adaptation.mixed(step)
    network = run.module.segmenter
    logits = network.decode(network.encode(mixed.images)).scores((32, 32))
    each = torch.nn.functional.cross_entropy(logits, mixed.labels, reduction="none", ignore_index=255)
    pasted = (mixed.images == step.source.images).all(1) & (mixed.weights == 1)
    torch.testing.assert_close(loss, each[pasted].sum() / (mixed.labels != 255).sum())


def test_passes_of_one_step(tmp_path, monkeypatch):
    """Two passes of the student (source, mixed) and one of the teacher (target); at weight 0 the source's alone."""
    seen = []
    for weight in (1, 0):
        run = run_of(tmp_path, {"weight": weight})
        for name, network in (("student", run.module.segmenter), ("teacher", run.module.teacher.segmenter)):
            encode = network.encode
            monkeypatch.setattr(network, "encode", lambda *a, n=name, e=encode, **k: seen.append(n) or e(*a, **k))
        losses = run.module(StepBatches(run.job)[0])
        assert list(losses) == ["source/cross_entropy", "dacs/cross_entropy"][: 2 if weight else 1]
        assert sorted(seen) == (["student", "student", "teacher"] if weight else ["student"])
        seen.clear()


@pytest.mark.parametrize("settings", [{}, {"teacher_norm": "running", "classes_of": "batch"}])
def test_resume_with_batch_norm_and_dropout(tmp_path, settings):
    """Teacher, its statistics, optimiser and streams come back: the resumed run ends with the unbroken one's bytes."""
    terms = [("dacs", settings), ("toy-kill", {})]
    recipe = {"steps": 8, "batch": 2, "precision": "bf16", "clip_grad_norm": 1.0, "warmup": 0.3}
    job = tiny_jobs.make_job(tmp_path, segmenter="deeplabv3plus", adaptations=terms, target="images", **recipe)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=5)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]


def test_switches_change_what_is_learnt(tmp_path):
    """Each named switch leads to other weights, so none is without effect."""
    choices = [{}, {"classes_of": "batch"}, {"views": {"jitter_p_means": "probability"}}, {"alpha": 0.5}]
    choices += [{"threshold": 0.4}, {"views": {"blur_p": 0}}, {"views": {"jitter_strength": 0.1}}, {"weight": 0.5}]
    choices += [{"ignore_top": 4}, {"ignore_bottom": 4}]
    digests = set()
    for number, settings in enumerate(choices):
        job = tiny_jobs.make_job(tmp_path, steps=6, adaptations=[("dacs", settings)], target="images")
        job = replace(job, augmentation=job.augmentation.model_copy(update={"crop": 16}))  # few classes in each
        digests.add(fit(job, tmp_path / str(number))["weights_sha256"])
    assert len(digests) == len(choices)


def test_target_has_no_labels_to_ask_for(tmp_path):
    """In a `uda` step the attribute does not exist; with garbage in their place no byte of the weights changes."""
    run = run_of(tmp_path)
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    with pytest.raises(AttributeError, match="labels"):
        step.target.labels  # noqa: B018
    plain = fit(run.job, tmp_path / "plain")["weights_sha256"]
    labelled = tiny_jobs.make_split(tmp_path, "dusk", labelled=True, seed=1)
    assert labelled.labels is not None
    stripped = replace(run.job, target=replace(labelled, labels=None))
    assert fit(stripped, tmp_path / "stripped")["weights_sha256"] == plain


def trained(project, config):
    """Train dacs on a->b by the stages' own commands, in a results folder of its own; its weights' digest."""
    project.write(config)
    run = expand(Context.of(parse(config))).cells[0].run
    for seen in run.sees:
        assert main(["cache", cache_path(run.context, *seen)]) == 0
    assert main(["train", str(run.folder / "run.json")]) == 0
    return run.folder, json.loads((run.folder / "run.json").read_text())["weights"]


def with_dacs(config):
    """The toy grid with the method dacs on one pair."""
    config["adaptations"] = {"dacs": {"kind": "dacs"}}
    config["methods"]["dacs"] = {"setting": "uda", "segmenter": "deeplabv3plus", "adaptations": ["dacs"]}
    config["grid"] |= {"methods": ["dacs"], "pairs": ["a->b"]}
    return config


def test_poisoned_target_labels_change_no_byte(project, data, tmp_path):
    """Garbage in all of the target's training labels: the same run, in the same folder, with the same weights."""
    config = with_dacs(project.config)
    folder, clean = trained(project, config)
    rng = np.random.default_rng(0)
    for path in sorted((data / "toy/b/labels").glob("0[0-3].png")):
        Image.fromarray(rng.integers(0, 3, (24, 32), dtype=np.uint8)).save(path)
    assert main(["prepare", "toy"]) == 0
    project.folder.joinpath("results").rename(tmp_path / "clean")
    assert trained(project, config) == (folder, clean)
    for path in sorted((data / "toy/b/images").glob("0[0-3].png")):
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(path)
    assert main(["prepare", "toy"]) == 0
    other_folder, other = trained(project, config)
    assert other_folder != folder and other != clean, "the target's images do train it"
