"""The image's recipes and its command. No image is built here: neither Apptainer nor Docker can be counted on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project

from xdseg import __version__
from xdseg.params import load
from xdseg.workflow import Plan

RECIPES = ROOT / "pipeline/container"
IMAGE = "pipeline/container/xdseg.sif"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
STAND_IN = """\
#!/bin/sh
# says its version, else notes its arguments and runs what an image would run, with the image's command first
[ "$1" = --version ] && {{ echo "apptainer version 1.3.4"; exit; }}
echo "$@" >> {calls}
while [ "$1" != -c ]; do shift; done
PATH="{image}:$PATH" exec bash -c "$2"
"""


def test_both_recipes_make_the_same_image():
    """Base, installed requirements, environment and command are those of the other recipe, and of the project."""
    docker, apptainer = ((RECIPES / name).read_text() for name in ("Dockerfile", "xdseg.def"))
    base = re.search(r"^FROM (\S+)$", docker, re.MULTILINE)[1]
    assert f"From: {base}\n" in apptainer and base == "python:3.11-bookworm"
    installs = [re.findall(r"python -m pip install .*?-r (\S+)", text) for text in (docker, apptainer)]
    assert installs[0] == installs[1] == ["/opt/xdseg/requirements.txt", "/opt/xdseg/requirements-alone.txt"]
    assert all((ROOT / Path(name).name).is_file() for name in installs[0])
    assert "-r /opt/xdseg/requirements-alone.txt" in docker and docker.count("--require-hashes") == 2
    settings = [re.search(r"(?:ENV|export) (OMP_NUM_THREADS=1 .*)", text)[1] for text in (docker, apptainer)]
    assert settings[0] == settings[1]
    assert all("pipeline/container/xdseg /usr/local/bin/xdseg" in text for text in (docker, apptainer))


def test_command_runs_the_code_of_the_folder_it_is_called_in(tmp_path: Path):
    """An image has no code of its own: it uses the checkout's, and says so where there is none."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PATH": PATH}
    command = [str(RECIPES / "xdseg"), "--version"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == f"xdseg {__version__}\n", done.stderr
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and f"xdseg: {tmp_path}: not the project's folder" in done.stderr
    other = tmp_path / "xdseg"
    other.mkdir()
    (other / "__init__.py").touch()
    (other / "cli.py").write_text("print('this folder')")
    assert subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout == (
        "this folder\n"
    )


@pytest.mark.slow
def test_rules_run_in_the_image(project: Project, tmp_path: Path):
    """Snakemake hands a rule's command to the image's path, and the image's command does the work."""
    calls, stand_ins = tmp_path / "calls", tmp_path / "bin"
    stand_ins.mkdir()
    apptainer = stand_ins / "apptainer"
    apptainer.write_text(STAND_IN.format(calls=calls, image=RECIPES))
    apptainer.chmod(0o755)
    os.symlink(ROOT / "xdseg", project.folder / "xdseg")
    plan = Plan(load())
    target = plan.training_inputs(next(iter(plan.runs)))[0]
    done = subprocess.run(
        ["snakemake", target, "--cores", "1", "--software-deployment-method", "apptainer"],
        env=os.environ | {"PATH": f"{stand_ins}{os.pathsep}{PATH}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(target).exists()
    assert f" {IMAGE} bash -c " in calls.read_text() and f"exec xdseg cache {target}" in calls.read_text()
