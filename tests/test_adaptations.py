"""What every registered adaptation promises, whatever it does: one that is added is tested by being registered."""

import json
import os
import random
from importlib import import_module

import plugin_example
import pytest
import tiny_jobs
from safetensors.torch import load_file
from tiny_runs import fit, interrupted

from xdseg.adaptations.build import build_adaptations
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.segmenters.build import build_segmenter

for plugin in os.environ.get("XDSEG_TEST_PLUGINS", "").split():  # so that a plugin's author can run this file on it
    import_module(plugin)
OWN = [name for name in ADAPTATIONS if not ADAPTATIONS[name].build.startswith("plugin_example")]
every_adaptation = pytest.mark.parametrize("name", list(ADAPTATIONS))
own_adaptation = pytest.mark.parametrize("name", OWN)


def job_with(tmp_path, name, *, extra=(), values=None, **options):
    """A job of that adaptation, what it needs, and `extra` terms."""
    adaptations = [*tiny_jobs.terms(name, **(values or {})), *extra]
    return tiny_jobs.make_job(tmp_path, adaptations=adaptations, target=tiny_jobs.target_of(name), **options)


def host_of(tmp_path, name, *, extra=(), **options):
    """The same job without the adaptation."""
    adaptations = [*tiny_jobs.terms(name)[:-1], *extra]
    return tiny_jobs.make_job(tmp_path, adaptations=adaptations, target=tiny_jobs.target_of(name), **options)


def test_package_brings_adaptations():
    """The walk below has something to walk over."""
    assert {"adversarial", "dacs", "minent"} <= set(OWN)


@every_adaptation
@pytest.mark.parametrize("segmenter", list(SEGMENTERS))
def test_two_steps_on_every_segmenter(tmp_path, name, segmenter):
    """Each adaptation trains each segmenter, through the contract; saved keys are the host's and those declared."""
    job = job_with(tmp_path, name, segmenter=segmenter, steps=2, batch=2, precision="bf16")
    fit(job, tmp_path / "run", log_every=1)
    points = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [1, 2]
    network = build_segmenter(segmenter, job.segmenter_settings, job.classes, seed=job.seed)
    wanted = set(network.state_dict())
    for part, adaptation in build_adaptations(job, network.describe()).items():
        for module_name, module in adaptation.inference_modules().items():
            wanted |= {f"adaptations.{part}.{module_name}.{key}" for key in module.state_dict()}
    assert set(load_file(tmp_path / "run" / "weights.safetensors")) == wanted


@every_adaptation
def test_resume_equals_an_unbroken_run(tmp_path, name):
    """Killed after a step drawn by the name, each adaptation ends with the unbroken run's bytes."""
    job = job_with(tmp_path, name, extra=[("toy-kill", {})] * (name != "toy-kill"), precision="bf16", accumulate=2)
    at = random.Random(name).randrange(4, 9)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=at)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"], f"killed after step {at}"


@own_adaptation
def test_fine_tuning_takes_every_adaptation(tmp_path, name):
    """Where the target's labels alone supervise, each trains, resumes to the byte, leaves no trace at weight 0."""
    options = {"supervision": "target", "steps": 6}
    terms = tiny_jobs.terms(name)

    def job(parts):
        return tiny_jobs.make_job(tmp_path, adaptations=parts, target="labels", **options)

    killed, off = job([*terms, ("toy-kill", {})]), tiny_jobs.OFF.get(name, {"weight": 0})
    ends = {
        "on": fit(killed, tmp_path / "on"),
        "resumed": interrupted(tmp_path, killed, at=4),
        "host": fit(job(terms[:-1]), tmp_path / "host"),
        "off": fit(job(tiny_jobs.terms(name, **off)), tmp_path / "off"),
    }
    digests = {end: report["weights_sha256"] for end, report in ends.items()}
    assert digests["on"] == digests["resumed"] != digests["host"] == digests["off"]


WITH_BATCH_NORM = "deeplabv3plus"  # a pass that leaves no gradient still moves its running statistics
SWITCHED = [(name, segmenter) for name in OWN for segmenter in ("toy", WITH_BATCH_NORM)]


@pytest.mark.parametrize(("name", "segmenter"), [*SWITCHED, ("toy-entropy", WITH_BATCH_NORM), ("toy-steering", "toy")])
def test_weight_zero_equals_the_host(tmp_path, name, segmenter):
    """Switched off, an adaptation leaves the bytes of the host's weights; at its defaults it does not."""
    options = {"steps": 3, "segmenter": segmenter}
    off = tiny_jobs.OFF.get(name, {"weight": 0})
    ends = {
        "host": host_of(tmp_path, name, **options),
        "off": job_with(tmp_path, name, values=off, **options),
        "on": job_with(tmp_path, name, **options),
    }
    digests = {end: fit(job, tmp_path / end)["weights_sha256"] for end, job in ends.items()}
    assert digests["off"] == digests["host"] != digests["on"]


@every_adaptation
def test_identity_maps_change_nothing(tmp_path, name, monkeypatch):
    """Features whose maps were put back by equal ones give the same bytes: no adaptation clings to a tensor object."""
    job = job_with(tmp_path, name, steps=2)
    plain = fit(job, tmp_path / "plain")["weights_sha256"]
    encode = plugin_example.Toy.encode

    def copied(self, images, **options):
        features = encode(self, images, **options)
        return features.with_maps({key: value.clone() for key, value in features.maps.items()})

    monkeypatch.setattr(plugin_example.Toy, "encode", copied)
    assert fit(job, tmp_path / "copied")["weights_sha256"] == plain


@own_adaptation
def test_workers_change_no_byte(tmp_path, name):
    """Loading in another process gives the same weights."""
    job = job_with(tmp_path, name, steps=2)
    assert len({fit(job, tmp_path / str(n), workers=n)["weights_sha256"] for n in (0, 1)}) == 1
