"""Fine-tuning: whose labels train, where a run starts, and what its identity holds."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_jobs
import torch
from conftest import ROOT, small_config
from safetensors.torch import load_file
from tiny_runs import fit

from xdseg.cells import Context
from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.grid import expand
from xdseg.params import merge, parse, read_yaml
from xdseg.settings.training import Training
from xdseg.workflow import Plan, cache_path

TUNED = {"setting": "finetune", "segmenter": "deeplabv3plus", "start": "source-only"}


def tuning_config(**training):
    """The toy grid with fine-tune and fine-tune-joint on one pair, of 2 steps each."""
    config = small_config(methods=["fine-tune", "fine-tune-joint"], pairs=["a->b"])
    recipe = {"steps": 2} | training
    config["methods"]["fine-tune"] = TUNED | {"training": recipe | {"supervision": "target"}}
    config["methods"]["fine-tune-joint"] = TUNED | {"training": recipe}
    return config


def context(config):
    """Context of a configuration."""
    return Context.of(parse(config))


def test_target_alone_trains(tmp_path):
    """Other source images change no byte of a run whose supervision is the target's, and its one term says so."""
    job = tiny_jobs.make_job(tmp_path, steps=3, target="labels", supervision="target")
    other = replace(job, source=(tiny_jobs.make_split(tmp_path, "noon", seed=9),))
    plain = fit(job, tmp_path / "plain")["weights_sha256"]
    assert fit(other, tmp_path / "other")["weights_sha256"] == plain
    assert '"losses": {"target/cross_entropy"' in (tmp_path / "plain" / "curve.jsonl").read_text()
    joint = fit(tiny_jobs.make_job(tmp_path, steps=3, target="labels"), tmp_path / "joint")["weights_sha256"]
    assert joint != plain


def test_default_supervision_is_in_no_identity():
    """The setting came after the first records: its default must not move them."""
    assert "supervision" not in Training(steps=1, lr=1).identity()
    assert Training(steps=1, lr=1, supervision="target").identity()["supervision"] == "target"


def test_supervision_needs_the_labels(tmp_path):
    """Asked for without the grant, it is refused: by the job, and by the settings before anything is planned."""
    with pytest.raises(BadInput, match="target needs the target's labels; choose setting finetune"):
        tiny_jobs.make_job(tmp_path, target="images", supervision="target")
    config = small_config()
    config["methods"]["source-only"]["training"] = {"supervision": "target"}
    with pytest.raises(BadInput, match=r"methods\.source-only\.training\.supervision: target needs"):
        parse(config)


def test_runs_start_from_their_source_only_run(project):
    """At a learning rate near 0 both kinds end with the parameters of the source's run, trained before by itself."""
    config = tuning_config(lr=1e-12)
    project.write(config)
    plan = Plan(parse(config))
    for run in plan.expansion.runs:
        for seen in run.sees:
            assert main(["cache", cache_path(run.context, *seen)]) == 0
        assert main(["train", str(run.folder / "run.json")]) == 0
    runs = {run.method: run for run in plan.expansion.runs}
    ends = {name: load_file(run.folder / "weights.safetensors") for name, run in runs.items()}
    trained = [name for name in ends["source-only"] if not name.rpartition(".")[2].startswith(("running", "num_"))]
    for method in ("fine-tune", "fine-tune-joint"):
        for name in trained:
            torch.testing.assert_close(ends[method][name], ends["source-only"][name], rtol=0, atol=1e-9)


def test_missing_parent_is_named(project):
    """Without the parent's weights the run ends with one line that says what to do."""
    config = tuning_config()
    project.write(config)
    run = expand(context(config)).cells[0].run
    for seen in run.sees:
        assert main(["cache", cache_path(run.context, *seen)]) == 0
    assert main(["train", str(run.folder / "run.json")]) == 2
    assert not (run.folder / "run.json").exists()


def test_changed_parent_changes_the_child():
    """Another recipe of source-only is another fine-tune run, though nothing of its own changed; and not conversely."""
    config = streetworld(tuning_config())
    changed = copy.deepcopy(config)
    changed["methods"]["source-only"]["training"] = {"steps": 7}
    before, after = (expand(context(c)).cells[0].run for c in (config, changed))
    assert before.definition == after.definition
    assert before.parent.fingerprint != after.parent.fingerprint and before.fingerprint != after.fingerprint
    assert before.payload | {"parent": None} == after.payload | {"parent": None}
    steps = streetworld(tuning_config(steps=3))
    child = expand(context(steps)).cells[0].run
    assert child.fingerprint != before.fingerprint and child.parent.fingerprint == before.parent.fingerprint


def streetworld(config):
    """The same grid on the generated suite, which needs no lock."""
    suites = {"suites": {"streetworld": {"kind": "streetworld"}}}
    return merge(merge(config, suites), {"grid": {"suite": "streetworld", "pairs": ["clear->night"]}})


def test_parent_is_planned_first():
    """The grid names fine-tune alone: its source-only run is planned before it, once, and its receipt is an input."""
    plan = Plan(parse(streetworld(tuning_config())))
    assert [run.method for run in plan.expansion.runs] == ["source-only", "fine-tune", "fine-tune-joint"]
    parent, *children = plan.expansion.runs
    for child in children:
        inputs = plan.training_inputs(str(child.folder))
        assert f"{parent.folder}/run.json" in inputs
        assert sum("clear--train" in path for path in inputs) == sum("night--train" in path for path in inputs) == 2
    assert str(parent.folder) in plan.runs and parent.target is None


def test_fine_tuning_peers_are_comparable():
    """In params.yaml every fine-tuning row of a segmenter starts from the same run and takes the same steps."""
    methods = parse(read_yaml(ROOT / "params.yaml")).methods
    tuned = [method for method in methods.values() if method.setting == "finetune"]
    assert len(tuned) >= 2
    for segmenter in {method.segmenter for method in tuned}:
        peers = [method for method in tuned if method.segmenter == segmenter]
        assert len({(method.start, method.training["steps"]) for method in peers}) == 1


def refused(**methods):
    """The message that a change of the toy's methods is refused with."""
    config = merge(small_config(), {"adaptations": {"dacs": {"kind": "dacs"}, "more": {"kind": "dacs"}}})
    with pytest.raises(BadInput) as refusal:
        parse(merge(config, {"methods": methods}))
    return str(refusal.value)


def test_start_must_fit():
    """No start from another network: it is told before anything is planned."""
    config = merge(small_config(), {"segmenters": {"other": {"kind": "deeplabv3plus"}}})
    config["methods"]["tuned"] = TUNED | {"segmenter": "other"}
    with pytest.raises(BadInput, match=r"methods\.tuned\.start: source-only has another segmenter"):
        parse(config)


def test_adaptation_must_fit_its_setting():
    """What needs target images cannot run where the setting grants none, nor two adaptations of one kind together."""
    message = refused(**{"source-only": {"adaptations": ["dacs"]}})
    assert "methods.source-only.adaptations: dacs needs the target's images; choose setting uda" in message
    assert "two of one kind" in refused(**{"oracle": {"setting": "uda", "adaptations": ["dacs", "more"]}})


def test_target_without_training_images_is_excluded(project):
    """A domain with nothing but an evaluation split is no target for an adaptation, and the reason is shown."""
    config = small_config(methods=["source-only", "adapting"], pairs=["a->b"])
    config["methods"]["adapting"] = {"setting": "uda", "segmenter": "deeplabv3plus"}
    lock = json.loads(Path("data/locks/toy.json").read_text())
    del lock["domains"]["b"]["splits"]["train"]
    Path("data/locks/toy.json").write_text(json.dumps(lock))
    expansion = expand(context(config))
    assert [cell.method for cell in expansion.cells] == ["source-only"]
    assert [excluded.reason for excluded in expansion.excluded] == ["b has no split 'train'"]
