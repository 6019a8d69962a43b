"""Two people who start the same workflow in one folder."""

import os
import shutil

import pytest
from conftest import small_config
from test_workflow import TIMEOUT, Workflow

pytestmark = pytest.mark.slow


def test_two_users_of_one_folder(project):
    """The second `snakemake` ends at once and says why; told not to mind, it waits for the run's folder and adopts.

    What both make is what one makes alone.
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
    assert first.wait(TIMEOUT) == 0
    scores = workflow.scores()
    for folder in ("results", "records", "reports", ".snakemake"):
        shutil.rmtree(workflow.folder / folder)
    assert workflow.run("snakemake", "--cores", "1").returncode == 0
    assert workflow.scores() == scores
