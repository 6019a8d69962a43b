"""Ten kills at random moments, and the bytes of an unbroken run. `benchmarks/chaos.py` does thirty."""

import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT

COUNT, SERIES = 10, 30  # kills here, and of the series on record


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("benchmark_chaos", ROOT / "benchmarks/chaos.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("measure", "pipeline"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_ten_kills_change_no_byte(chaos, tmp_path):
    """Stages, schedulers and groups, by SIGKILL and SIGTERM; every grid that came to its end has the same scores."""
    found = chaos.chaos(tmp_path, kills=COUNT, seed=1)
    assert found["kills"] == COUNT and found["grids"] >= 1
    assert found["differing"] == [], found
    assert len({hit["victim"] for hit in found["hits"]}) > 1
    assert "train" in {name for hit in found["hits"] for name in hit["at_work"]}


class Ended:
    """A process, as psutil and subprocess know them, that has ended and been waited for."""

    def __init__(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            self.pid = child.pid

    def cmdline(self) -> list[str]:
        """As it was when it was looked for."""
        return ["python", "xdseg", "train"]

    def poll(self) -> None:
        """Not known to have ended."""


@pytest.mark.parametrize("victim", ["stage", "scheduler", "group"])
def test_only_what_was_alive_counts_as_hit(chaos, tmp_path, monkeypatch, victim):
    """A victim that ended in the moment before is none."""
    gone = Ended()
    monkeypatch.setattr(chaos, "VICTIMS", (victim,))
    series = chaos.Chaos(SimpleNamespace(stages=lambda: [gone]), kills=1, seed=0)
    series._hit(gone)
    assert series.hits == []


def test_the_series_on_record():
    """The committed series: kills of every kind, no byte differs, and it hit trainings as well as other stages."""
    path = ROOT / "reports/benchmarks/chaos.json"
    if not path.exists():
        pytest.skip(
            f"no series is committed: python benchmarks/chaos.py --kills {SERIES} --out {path.relative_to(ROOT)}"
        )
    found = json.loads(path.read_text())
    assert found["kills"] == len(found["hits"]) == SERIES and found["differing"] == [] and found["grids"] >= 1
    assert {hit["victim"] for hit in found["hits"]} == {"stage", "scheduler", "group"}
    assert {hit["signal"] for hit in found["hits"]} == {"SIGKILL", "SIGTERM"}
    at_work = {name for hit in found["hits"] for name in hit["at_work"]}
    assert "train" in at_work and len(at_work) > 2
