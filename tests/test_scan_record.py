"""A run's record says which code ran its selective scan; runs without one are recorded as before."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny_jobs
import torch
from conftest import ROOT

from xdseg.errors import BadInput
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.mvfuser import MVFuser
from xdseg.segmenters.scan import api, backends
from xdseg.segmenters.scan.resolved import scan_backends
from xdseg.settings.mfuser import MFuser as Settings
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Augmentation, Training
from xdseg.stages.train import make_receipt
from xdseg.training import loop

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ON_CPU = {"streaming": "tensors are on a processor"}


@pytest.fixture(autouse=True)
def _nothing_remembered():
    backends.resolve.cache_clear()
    yield
    backends.resolve.cache_clear()


def network(**changes):
    small = tiny_jobs.SMALL["mfuser"]
    merged = {key: small.get(key, {}) | value for key, value in changes.items()}
    return build_segmenter("mfuser", Settings(**small | merged), tiny_jobs.CLASSES, seed=0)


def job(tmp_path, segmenter, **settings):
    """Two steps on images that patches of 8 divide."""
    made = tiny_jobs.make_job(tmp_path, segmenter=segmenter, steps=2, batch=2)
    changed = made.segmenter_settings.model_copy(update=settings)
    return replace(made, segmenter_settings=changed)


def test_every_scan_counts_once(monkeypatch):
    """Of all that there are, with the reason: one, also where it is asked for by name, which the enhancer hears too."""
    assert scan_backends(network(), CPU) == ON_CPU
    assert scan_backends(network(fuser={"backend": "chunked"}), CPU) == {"chunked": "asked for"}
    assert scan_backends(network(fuser={"backend": "chunked", "scan": "none"}), CPU) == {"chunked": "asked for"}
    assert scan_backends(network(fuser={"scan": "none"}), CPU) == ON_CPU, "that of the class names is left"
    assert scan_backends(network(fuser={"scan": "none"}, text={"enhancer": "none"}), CPU) == {}
    assert scan_backends(network(fuser={"kind": "none"}, text={"enhancer": "cross-attention"}), CPU) == {}
    monkeypatch.setattr(backends, "kernel", lambda: (None, "mamba-ssm is not installed"))
    assert scan_backends(network(), CUDA) == {"chunked": "mamba-ssm is not installed"}


def test_what_is_told_is_what_runs(monkeypatch):
    """The function resolves to the same for a fuser's tensors, also for more states than mamba-ssm's kernel takes."""
    monkeypatch.setattr(backends, "kernel", lambda: (print, None))
    told = [scan_backends(MVFuser(8, states=states), CUDA) for states in (256, 257)]
    assert [list(one) for one in told] == [["mamba-ssm"], ["chunked"]]
    asked = []
    monkeypatch.setattr(
        api, "resolve", lambda *args, **options: asked.append((args, options)) or backends.Choice("streaming", "")
    )
    for states in (256, 257):
        MVFuser(8, states=states)(torch.randn(1, 3, 8))
    assert asked == [(("auto", "cpu"), {"fits": True}), (("auto", "cpu"), {"fits": False})]


def test_run_tells_its_scan(tmp_path):
    """In training.json and what is returned; also where finished weights are adopted."""
    made = job(tmp_path, "mfuser")
    report = loop.train(made, tmp_path / "run", runtime=Runtime(device="cpu"))
    assert report["scan"] == ON_CPU and json.loads((tmp_path / "run/training.json").read_text())["scan"] == ON_CPU
    assert loop.train(made, tmp_path / "run", runtime=Runtime(device="cpu"))["scan"] == ON_CPU


def test_other_runs_are_told_as_before(tmp_path):
    """No key of their report is new."""
    report = loop.train(job(tmp_path, "deeplabv3plus"), tmp_path / "run", runtime=Runtime(device="cpu"))
    costs = {"steps", "train_seconds", "images_per_second", "peak_memory_mb", "parameters", "trainable"}
    assert set(report) == costs | {"about", "device", "precision", "torch", "fingerprint", "weights_sha256"}


def receipt(**extra):
    """run.json of a run that reported this, beside what all report."""
    keys = ("parameters", "trainable", "steps", "train_seconds", "images_per_second", "peak_memory_mb")
    ran = {"device": "a processor", "precision": "fp32", "torch": "2.0"}
    result = dict.fromkeys(keys, 1) | ran | {"weights_sha256": "0" * 64, "about": {"commit": "abc"}} | extra
    recipes = {"training": Training(steps=1, lr=1), "augmentation": Augmentation(crop=8)}
    context = SimpleNamespace(recipe=lambda definition, name, kind: recipes[name])
    run = SimpleNamespace(
        payload={"segmenter": {}, "adaptations": []}, context=context, definition=None, fingerprint="f" * 64
    )
    return make_receipt(run, result)


def test_receipt_holds_the_scan_beside_the_precision():
    """Under `environment`, where records take it from; nothing else differs, so fingerprints cannot."""
    without, with_scan = receipt(), receipt(scan=ON_CPU)
    assert with_scan["environment"].pop("scan") == ON_CPU
    assert with_scan == without
    assert set(without["environment"]) == {"commit", "device", "precision", "torch"}


def test_committed_records_hold_a_scan_where_a_network_has_one():
    """MFuser and its variants, which all read class names through one; what a receipt takes over is in each record."""
    paths = sorted((ROOT / "records").glob("*/*/*/*.json"))
    environments = {path: json.loads(path.read_text())["environment"] for path in paths}
    assert len(environments) > 100
    for path, environment in environments.items():
        if environment:
            assert {"device", "precision", "torch"} <= set(environment), path
            assert ("scan" in environment) == path.parts[-3].startswith("mfuser"), path


def test_backend_that_cannot_run_ends_before_the_first_step(tmp_path):
    """Asked for by name on a processor; nothing was trained, nothing is left to resume."""
    settings = Settings(**tiny_jobs.SMALL["mfuser"] | {"fuser": {"backend": "mamba-ssm"}})
    made = replace(job(tmp_path, "mfuser"), segmenter_settings=settings)
    with pytest.raises(BadInput, match="backend 'mamba-ssm' cannot run: its kernel needs a CUDA device") as caught:
        loop.Run(made, tmp_path / "run", Runtime(device="cpu"))
    assert "\n" not in str(caught.value)
