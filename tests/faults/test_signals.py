"""SIGTERM with grace: the step is finished, the state saved, and the next start goes on from there."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_jobs
import torch
from tiny_runs import fit, losses

from xdseg.cli import main
from xdseg.errors import Terminated
from xdseg.params import load
from xdseg.process import heed_sigterm
from xdseg.training.loop import Run
from xdseg.workflow import Plan

CODE = "import sys; from xdseg.cli import main; sys.exit(main(sys.argv[1:]))"
TIMEOUT = 300  # seconds that nothing here comes near


def told_to_stop(monkeypatch, *, at: int) -> None:
    """Every process of the job gets SIGTERM, twice, in the middle of a step (from 0)."""
    real = Run.update

    def update(self, batch):
        if batch.index == at:
            for process in [os.getpid(), *(child.pid for child in multiprocessing.active_children())] * 2:
                os.kill(process, signal.SIGTERM)
        return real(self, batch)

    monkeypatch.setattr(Run, "update", update)


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_resume_equality(tmp_path, monkeypatch, capsys, workers):
    """Told to stop in step 7 of 10, with states every 4: it stops after step 7, and ends with the unbroken bytes."""
    job = tiny_jobs.make_job(tmp_path)
    unbroken = fit(job, tmp_path / "unbroken")
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        told_to_stop(patch, at=6)
        with pytest.raises(Terminated, match="stopped by SIGTERM: saved after step 7; run it again to go on"):
            fit(job, tmp_path / "run", workers=workers)
    assert signal.getsignal(signal.SIGTERM) == before
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["done"] == 7
    resumed = fit(job, tmp_path / "run", workers=workers)
    assert "resuming after step 7" in capsys.readouterr().out
    assert resumed["weights_sha256"] == unbroken["weights_sha256"]
    assert losses(tmp_path / "run") == losses(tmp_path / "unbroken")


def test_sigterm_in_the_last_step(tmp_path, monkeypatch):
    """Nothing is left to do but to write the weights: that is done, and nothing has to be repeated."""
    job = tiny_jobs.make_job(tmp_path)
    unbroken = fit(job, tmp_path / "unbroken")
    told_to_stop(monkeypatch, at=9)
    assert fit(job, tmp_path / "run")["weights_sha256"] == unbroken["weights_sha256"]


def test_sigterm_elsewhere_is_as_before():
    """After the block the signal does what it did; in a thread, where Python sets none, the answer is no."""
    before, answers = signal.getsignal(signal.SIGTERM), []
    with heed_sigterm() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) == before

    def elsewhere():
        with heed_sigterm() as asked:
            answers.append(asked())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert answers == [False]


@pytest.mark.slow
def test_sigterm_to_the_command(project, capsys):
    """`xdseg train` ends with exit code 143 and a line; `xdseg status` shows where it will go on, and no failure."""
    config = project.config
    config["protocols"]["tiny"]["training"]["steps"] = 5000
    config["runtime"] = {"checkpoint_every": 5000, "log_every": 2}
    project.write(config)
    plan = Plan(load())
    run = next(iter(plan.runs))
    for index in plan.training_inputs(run):
        assert main(["cache", index]) == 0
    with Path("said").open("w") as log:
        child = subprocess.Popen([sys.executable, "-c", CODE, "train", f"{run}/run.json"], stdout=log, stderr=log)
    until = time.monotonic() + TIMEOUT
    while not Path(run, "curve.jsonl").exists() or not Path(run, "curve.jsonl").read_text():
        assert child.poll() is None and time.monotonic() < until, Path("said").read_text()
        time.sleep(0.1)
    child.terminate()
    assert child.wait(TIMEOUT) == 143
    step = torch.load(f"{run}/resume.pt", weights_only=True)["done"]
    assert Path("said").read_text().endswith(f"stopped by SIGTERM: saved after step {step}; run it again to go on\n")
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    seen = {each["run"]: each for each in json.loads(capsys.readouterr().out)["runs"]}
    state = seen[Path(run).relative_to("results").as_posix()]
    assert (state["state"], state["saved"]) == ("interrupted", step)
