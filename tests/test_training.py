"""Whole runs: what they leave, that a resume changes nothing, and what stops them."""

import json
from dataclasses import replace

import plugin_example
import pytest
import tiny_jobs
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_runs import fit, interrupted, kill, losses
from torch import nn

from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput, TrainingFailed
from xdseg.files import file_digest
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.runtime import Runtime
from xdseg.training.checkpoint import load_segmenter
from xdseg.training.loop import Run, train
from xdseg.training.progress import duration
from xdseg.training.step import Step
from xdseg.training.train_step import prepared


@pytest.mark.parametrize("name", list(SEGMENTERS))
def test_two_steps_of_every_segmenter(tmp_path, name):
    """Every registered segmenter trains: finite losses, moved weights, a file that loads back strictly."""
    job = tiny_jobs.make_job(tmp_path, segmenter=name, steps=2, batch=2, precision="bf16")
    report = fit(job, tmp_path / "run", log_every=1)
    start = build_segmenter(name, job.segmenter_settings, job.classes, seed=job.seed).state_dict()
    end = load_file(tmp_path / "run" / "weights.safetensors")
    assert list(losses(tmp_path / "run")) == [1, 2]
    assert set(end) == set(start), "inference keys are the host's"
    assert sum(not torch.equal(start[key], end[key]) for key in start) > len(start) / 2
    assert report["parameters"] == sum(p.numel() for p in start_parameters(name, job))
    assert report["weights_sha256"] == file_digest(tmp_path / "run" / "weights.safetensors")


def start_parameters(name, job):
    """Parameters of a fresh network."""
    return build_segmenter(name, job.segmenter_settings, job.classes, seed=0).parameters()


def test_training_learns(tmp_path):
    """Where the colour is the class, 60 steps of the toy bring the loss from about ln 3 below 0.3."""
    fit(tiny_jobs.make_job(tmp_path, steps=60), tmp_path / "run", log_every=60)
    assert losses(tmp_path / "run")[60] < 0.3


@pytest.mark.parametrize(
    ("segmenter", "recipe"),
    [
        ("toy", {}),
        ("toy", {"accumulate": 2, "precision": "bf16", "clip_grad_norm": 0.1, "warmup": 0.3}),
        ("toy", {"optimizer": "sgd", "precision": "fp16"}),
        ("toy", {"warmup_stages": (0.2, 0.4), "poly_power": 0.9, "decay_all": True, "clip_grad_norm": 0.01}),
        ("deeplabv3plus", {"accumulate": 2, "precision": "bf16"}),
    ],
)
def test_resume_equals_an_unbroken_run(tmp_path, segmenter, recipe):
    """Killed after it reported what it had not saved, a run ends with the unbroken run's bytes and the same curve."""
    job = tiny_jobs.make_job(tmp_path, segmenter=segmenter, adaptations=[("toy-kill", {})], **recipe)
    unbroken = fit(job, tmp_path / "unbroken")
    resumed = interrupted(tmp_path, job, at=6)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"], "the resumed run drew or computed other numbers"
    assert losses(tmp_path / "unbroken") == losses(tmp_path / "broken")
    assert list(losses(tmp_path / "broken")) == [2, 4, 6, 8, 10]
    assert not (tmp_path / "broken" / "resume.pt").exists()


def test_resume_with_teacher_and_other_terms(tmp_path):
    """A method with teacher, reference, pseudo-labels and a term of its own parameters resumes to the same bytes."""
    terms = [("toy-self-training", {}), ("toy-entropy", {}), ("toy-kill", {})]
    job = tiny_jobs.make_job(tmp_path, adaptations=terms, target="images")
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=6)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]
    point = json.loads((tmp_path / "broken" / "curve.jsonl").read_text().splitlines()[0])
    names = [
        "source/cross_entropy",
        "toy-self-training/cross_entropy",
        "toy-self-training/drift",
        "toy-entropy/entropy",
    ]
    assert list(point["losses"]) == names


def test_damaged_or_foreign_resume_state_starts_anew(tmp_path, capsys):
    """A resume state of another fingerprint, or a cut one, is named in a line and not used."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[("toy-kill", {})])
    unbroken = fit(job, tmp_path / "unbroken")
    kill(tmp_path, replace(job, fingerprint="e" * 64), at=5)
    state = tmp_path / "broken" / "resume.pt"
    assert fit(job, tmp_path / "broken")["weights_sha256"] == unbroken["weights_sha256"]
    assert "of other settings or data; training starts anew" in capsys.readouterr().out
    (tmp_path / "broken" / "weights.safetensors").unlink()
    state.write_bytes(b"PK cut short")
    assert fit(job, tmp_path / "broken")["weights_sha256"] == unbroken["weights_sha256"]
    assert "resume.pt: not readable" in capsys.readouterr().out


def test_workers_change_no_byte_of_the_weights(tmp_path):
    """Loading in two other processes gives the same weights."""
    job = tiny_jobs.make_job(tmp_path, steps=4, target="images", adaptations=[("toy-entropy", {})])
    digests = {fit(job, tmp_path / str(workers), workers=workers)["weights_sha256"] for workers in (0, 2)}
    assert len(digests) == 1


def test_finished_run_is_adopted(tmp_path):
    """A second call returns the first one's report and computes nothing; harmed weights are trained again."""
    job, weights = tiny_jobs.make_job(tmp_path), tmp_path / "run" / "weights.safetensors"
    first = fit(job, tmp_path / "run")
    written = weights.stat().st_mtime_ns
    assert fit(job, tmp_path / "run") == first and weights.stat().st_mtime_ns == written
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert fit(job, tmp_path / "run")["weights_sha256"] == first["weights_sha256"] == file_digest(weights)


def test_weights_carry_the_fingerprint(tmp_path):
    """Weights load for their own run only, with the very numbers that were trained, in eval mode."""
    job = tiny_jobs.make_job(tmp_path)
    fit(job, tmp_path / "run")
    with safe_open(tmp_path / "run" / "weights.safetensors", framework="pt") as file:
        assert file.metadata() == {"fingerprint": "f" * 64}
    wanted = {"segmenter": "toy", "settings": job.segmenter_settings, "classes": job.classes}
    network = load_segmenter(tmp_path / "run", **wanted, fingerprint="f" * 64)
    trained = load_file(tmp_path / "run" / "weights.safetensors")
    assert not network.training and all(torch.equal(value, trained[key]) for key, value in network.state_dict().items())
    with pytest.raises(BadInput, match="weights of run ffffffff, not of 00000000"):
        load_segmenter(tmp_path / "run", **wanted, fingerprint="0" * 64)
    with pytest.raises(BadInput, match=r"parameters do not fit, first head\.bias"):
        load_segmenter(tmp_path / "run", **(wanted | {"classes": ("one",)}), fingerprint="f" * 64)
    with pytest.raises(BadInput, match="no readable weights"):
        load_segmenter(tmp_path, **wanted, fingerprint="f" * 64)


def test_run_starts_from_its_parent(tmp_path):
    """With a learning rate near 0, a run that starts from another one ends with that one's weights."""
    fit(tiny_jobs.make_job(tmp_path), tmp_path / "parent")
    parent = tmp_path / "parent" / "weights.safetensors"
    fit(replace(tiny_jobs.make_job(tmp_path, steps=1, lr=1e-12), parent_weights=parent), tmp_path / "child")
    child, before = load_file(tmp_path / "child" / "weights.safetensors"), load_file(parent)
    for key, value in before.items():
        torch.testing.assert_close(child[key], value, rtol=0, atol=1e-9)


def test_term_of_weight_zero_changes_no_byte(tmp_path):
    """An adaptation at weight 0, and a steer that gives no bias, leave the weights' bytes; at weight 1 they change."""
    plain = fit(tiny_jobs.make_job(tmp_path, steps=4, clip_grad_norm=0.1), tmp_path / "plain")["weights_sha256"]
    for name in ("toy-entropy", "toy-steering"):
        for weight in (0, 1):
            terms = [(name, {"weight": weight})]
            job = tiny_jobs.make_job(tmp_path, steps=4, adaptations=terms, target="images", clip_grad_norm=0.1)
            digest = fit(job, tmp_path / f"{name}-{weight}")["weights_sha256"]
            assert (digest == plain) == (weight == 0), f"{name} at weight {weight}"


def test_target_labels_train_only_where_granted(tmp_path):
    """Granted labels add a supervised term; without the grant `labels` does not exist."""
    plugin_example.SEEN.clear()
    for target in ("images", "labels"):
        job = tiny_jobs.make_job(tmp_path, steps=2, adaptations=[("toy-spy", {})], target=target)
        fit(job, tmp_path / target)
    assert [seen["labelled"] for seen in plugin_example.SEEN] == [False, False, True, True]
    points = [
        json.loads((tmp_path / target / "curve.jsonl").read_text().splitlines()[0]) for target in ("images", "labels")
    ]
    assert [list(point["losses"]) for point in points] == [
        ["source/cross_entropy"],
        ["source/cross_entropy", "target/cross_entropy"],
    ]


def test_step_memoises_and_draws_by_round(tmp_path):
    """One pass per view and step; each round of a step has draws of its own, the same in every run."""
    runs = []
    for number in range(2):
        plugin_example.SEEN.clear()
        job = tiny_jobs.make_job(tmp_path, steps=2, accumulate=2, adaptations=[("toy-spy", {})], target="images")
        fit(job, tmp_path / str(number))
        runs.append(list(plugin_example.SEEN))
    assert runs[0] == runs[1] and all(seen["same_pass"] for seen in runs[0])
    assert [seen["index"] for seen in runs[0]] == [0, 0, 1, 1]
    assert len({seen["draw"] for seen in runs[0]}) == 4


def run_of(tmp_path, **options):
    """A run that has not begun."""
    return Run(tiny_jobs.make_job(tmp_path, **options), tmp_path / "run", tiny_jobs.CPU)


def test_two_rounds_equal_one(tmp_path):
    """Without batch norm and dropout, and with all pixels labelled, two rounds of two images are one of four."""
    ends = []
    for rounds in (1, 2):
        run = run_of(tmp_path, accumulate=rounds, network={"dropout": 0}, optimizer="sgd")
        run.update(StepBatches(run.job)[0])
        ends.append(run.module.segmenter.state_dict())
    for key, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][key], rtol=1e-5, atol=1e-7)


def mask_loss(prediction, labels, weights=None):
    """A set loss in small: one mask per image and class that is there, cross entropy over their number."""
    scores = prediction.scores(tuple(labels.shape[-2:]))
    masks = [(image, number) for image in range(len(labels)) for number in labels[image].unique().tolist()]
    terms = [
        nn.functional.binary_cross_entropy_with_logits(scores[image, number], (labels[image] == number).float())
        for image, number in masks
    ]
    return {"masks": sum(terms) / len(masks)}


@pytest.mark.parametrize("even", [True, False])
def test_rounds_of_a_set_loss_have_a_norm_of_their_own(tmp_path, monkeypatch, even):
    """Two rounds are the mean of two losses, each over its own masks: one batch only where both have equally many.

    In the uneven case the first round has 2 masks and the second 6, so that the batch is a quarter of the first
    gradient and three quarters of the second.
    """
    monkeypatch.setattr("xdseg.segmenters.dense.DensePrediction.loss", mask_loss)
    run = run_of(tmp_path, accumulate=2, network={"dropout": 0})
    batch = StepBatches(run.job)[0]
    labels = batch.source.labels.clone()
    labels[:, 0, :3] = torch.tensor([0, 1, 2], dtype=torch.uint8)
    labels[:2] = labels[:2] if even else 0
    batch = replace(batch, source=replace(batch.source, labels=labels))

    def gradient(parts):
        run.optimisers.zero_grad()
        for part in parts:
            run.backward(part, share=1 / len(parts))
        return torch.cat([p.grad.flatten() for p in run.module.parameters() if p.grad is not None])

    first, second = (gradient([part]) for part in batch.rounds(2))
    whole, rounds = gradient([batch]), gradient(batch.rounds(2))
    torch.testing.assert_close(rounds, (first + second) / 2, rtol=1e-5, atol=1e-7)
    share = 0.5 if even else 0.25
    torch.testing.assert_close(whole, share * first + (1 - share) * second, rtol=1e-5, atol=1e-7)
    assert torch.allclose(whole, rounds, rtol=1e-4, atol=1e-7) == even


def test_clipping_by_hand(tmp_path):
    """With plain SGD at rate 1 and a limit of 0.01, a step is 0.01 long."""
    run = run_of(tmp_path, optimizer="sgd", momentum=0, lr=1, weight_decay=0, clip_grad_norm=0.01)
    before = nn.utils.parameters_to_vector(run.module.segmenter.parameters()).detach().clone()
    run.optimisers.set_rates(0)
    run.update(StepBatches(run.job)[0])
    moved = nn.utils.parameters_to_vector(run.module.segmenter.parameters()) - before
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_teacher_follows_by_hand(tmp_path):
    """After the first step the teacher is the mean of the student before and after; it takes no gradient."""
    run = run_of(tmp_path, adaptations=[("toy-self-training", {})], target="images")
    student, teacher = run.module.segmenter.head.weight, run.module.teacher.segmenter.head.weight
    before = student.detach().clone()
    assert torch.equal(before, teacher)
    run.update(StepBatches(run.job)[0])
    assert not torch.equal(student, before)
    torch.testing.assert_close(teacher, (before + student) / 2)
    assert not teacher.requires_grad and not run.module.teacher.segmenter.dropout.training
    assert torch.equal(run.module.reference.head.weight, before) and not run.module.reference.training


def test_steer_reaches_the_student(tmp_path):
    """A bias at the toy's gate moves the student's scores; without adaptations there is none."""
    step_scores = []
    for weight in (0.0, 5.0):
        run = run_of(tmp_path, adaptations=[("toy-steering", {"weight": weight})], network={"dropout": 0})
        run.forward(StepBatches(run.job)[0])
        step_scores.append(run.module._step.student("source").prediction.scores((8, 8)))
    assert not torch.equal(*step_scores)


def test_dropout_of_a_view_ignores_other_passes(tmp_path):
    """The student's pass over the source has the same bits whether or not the target's came before it."""
    run = run_of(tmp_path, target="images", network={"dropout": 0.5})
    batch, scores = prepared(StepBatches(run.job)[0]), []
    for views in (["source"], ["target", "source"]):
        step = Step(run.module, batch)
        scores.append([step.student(view).prediction.scores((16, 16)) for view in views][-1])
    assert torch.equal(*scores)


def test_views_have_one_owner(tmp_path):
    """A view's name is given once; an unknown one is an error."""
    run = run_of(tmp_path)
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    step.add_view("mixed", torch.zeros(1, 3, 8, 8))
    assert step.student("mixed").prediction.scores((8, 8)).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="view 'mixed' is there already"):
        step.add_view("mixed", torch.zeros(1, 3, 8, 8))
    with pytest.raises(KeyError):
        step.student("target")


@pytest.mark.parametrize("ask", ["teacher", "reference", "pseudo_labels"])
def test_undeclared_needs_are_named(tmp_path, ask):
    """What no adaptation declared is not built; asking for it says what to declare."""
    run = run_of(tmp_path)
    step = Step(run.module, prepared(StepBatches(run.job)[0]))
    assert run.module.teacher is None and run.module.reference is None
    with pytest.raises(LookupError, match=f"must declare Needs\\({ask}="):
        getattr(step, ask)(*([] if ask == "pseudo_labels" else ["source"]))


def test_loss_that_is_not_finite_stops_the_run(tmp_path):
    """The line names step, term and images; neither that step's resume state nor weights are written."""
    job = tiny_jobs.make_job(tmp_path, adaptations=[("toy-poison", {"at": 3})])
    with pytest.raises(TrainingFailed) as failed:
        fit(job, tmp_path / "run", checkpoint_every=1)
    line = str(failed.value)
    names = StepBatches(job)[3].source.names
    assert line.startswith("step 4: loss is not finite (toy-poison/bad nan); images day/")
    assert all(name in line for name in names) and "\n" not in line
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert state["done"] == 3 and all(value.isfinite().all() for value in state["module"].values())
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_progress_line(tmp_path, capsys):
    """Steps, loss, speed and time left, one line every few steps."""
    fit(tiny_jobs.make_job(tmp_path, steps=4), tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("step 2/4  loss ") and lines[1].endswith("ETA 0:00")
    assert [duration(seconds) for seconds in (0.4, 45, 65, 3723)] == ["0:00", "0:45", "1:05", "1:02:03"]


def test_process_is_left_as_it_was(tmp_path):
    """Threads and determinism switches of the process are those from before the run."""
    torch.set_num_threads(2)
    fit(tiny_jobs.make_job(tmp_path, steps=1), tmp_path / "run")
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)


def test_cuda_where_there_is_none(tmp_path, monkeypatch):
    """Asking for a GPU that is not there is bad input."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"runtime\.device: cuda is not available here"):
        train(tiny_jobs.make_job(tmp_path), tmp_path / "run", runtime=Runtime(device="cuda"))
