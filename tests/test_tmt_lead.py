"""What benchmarks/tmt_lead.py says of a run of TMT: how much a map tells places apart, and what the lead changes."""

import importlib.util
from types import ModuleType

import pytest
import tiny_jobs
import torch
from conftest import ROOT

from xdseg.adaptations.tmt.tmt import Tmt
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.tmt import Tmt as Settings


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """benchmarks/tmt_lead.py."""
    spec = importlib.util.spec_from_file_location("tmt_lead", ROOT / "benchmarks/tmt_lead.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variation_by_hand(script):
    """Places 1 and 3 deviate by 1 from 2; a channel that is -2 everywhere by 0: mean 0.5, beside the mean of |x|, 2."""
    values = torch.tensor([[[[1.0, 3.0]], [[-2.0, -2.0]]]])
    assert script.variation(values) == 0.25
    assert script.variation(torch.full((1, 2, 3, 3), 7.0)) == 0 == script.variation(torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_share_of_pixels_that_the_lead_changes(script, gamma):
    """None with a γ of 0; else as counted from the two predictions, on an image cut to whole patches."""
    host = build_segmenter("daformer", tiny_jobs.segmenter_settings("daformer"), tiny_jobs.CLASSES, seed=0).eval()
    torch.manual_seed(1)
    part = Tmt(Settings(acte={"width": 32, "hidden": 32}, tma={"site": "encoder", "blocks": 2}), host.describe())
    for value in part.guide.attention.gammas.values():
        torch.nn.init.constant_(value, gamma)
    image = torch.randn(1, 3, 70, 64, generator=torch.Generator().manual_seed(0))
    found = script.look(host, part.guide, image)
    with torch.no_grad():
        led, plain = (host.predict(image[..., :64, :], steer=steer).argmax(1) for steer in (part.steer(None), None))
    assert found["changed"] == float((led != plain).double().mean()) and (found["changed"] > 0) == (gamma > 0)
    assert found["need"] > 0 and len([name for name in found if name.startswith("maps ")]) == 4


def test_a_run_without_a_guide_has_its_maps_alone(script):
    """No need, and nothing changed."""
    host = build_segmenter("daformer", tiny_jobs.segmenter_settings("daformer"), tiny_jobs.CLASSES, seed=0).eval()
    found = script.look(host, None, torch.zeros(1, 3, 64, 64))
    assert all(name.startswith("maps ") for name in found) and len(found) == 4
