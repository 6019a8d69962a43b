"""Two people who start the same workflow in one folder."""

import os

import pytest
from conftest import small_config
from test_workflow import Workflow

pytestmark = pytest.mark.slow

PATIENCE = 1200  # seconds that nothing here comes near, even on a loaded machine


def test_two_users_of_one_folder(project):
    """The second `snakemake` ends at once and says why; told not to mind, it waits for the run's folder and adopts.

    Between them the run is trained once.
    """
    config = small_config(methods=["source-only"], pairs=["a->b"])
    config["protocols"]["tiny"]["training"]["steps"] = 60
    config["runtime"] = {"checkpoint_every": 5, "log_every": 5}
    project.write(config)
    workflow = Workflow(project.folder)
    first = workflow.start("snakemake", "--cores", "1")
    trainer = workflow.wait_until_training()
    run = workflow.trainers()[trainer]
    second = workflow.run("snakemake", "--cores", "1")
    assert second.returncode == 1 and "Directory cannot be locked" in second.stdout + second.stderr
    assert os.path.exists(f"/proc/{trainer}"), "the first is not disturbed"
    name = run.relative_to(workflow.folder) / "run.json"
    third = workflow.run("xdseg", "train", str(name))
    assert third.returncode == 0
    assert f"{name.parent}: waiting for process {trainer} on " in third.stdout and "already trained" in third.stdout
    weights = (workflow.folder / name).with_name("weights.safetensors")
    written = weights.stat().st_mtime_ns
    assert first.wait(PATIENCE) == 0
    assert weights.stat().st_mtime_ns == written, "trained once"
    assert ",ok," in (workflow.folder / "reports/toy/cells.csv").read_text()
