"""`xdseg status`: every state a run can be in, from folders made by hand; the lines as a reader sees them."""

import json
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from xdseg.cli import main
from xdseg.inspection.holding import holder
from xdseg.inspection.look import lines, look
from xdseg.inspection.traces import STATES, last_error, last_points, saved_step
from xdseg.params import load
from xdseg.workflow import Plan

HOLD = (
    "import sys; from pathlib import Path; from xdseg.process import run_lock\n"
    "with run_lock(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
)
CODE = "import sys; from xdseg.cli import main; sys.exit(main(sys.argv[1:]))"
HEAD = "board toy: suite toy, protocol tiny"
ENCRYPTED = 8  # where an entry of a zip's directory says so, in its lowest bit
ERROR = "xdseg: step 3: loss is not finite (source/ce nan); images 00"


@contextmanager
def held(folder: Path):
    """Another process holds the folder as a stage does; gives what its lock says."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"held\n"
        yield f"process {child.pid} on {os.uname().nodename}"
    finally:
        child.communicate()


@pytest.fixture
def plan(project) -> Plan:
    """Six cells of four runs: source-only on a and on b, which are the oracles too, and source-aug on both."""
    return Plan(load())


def run_of(plan: Plan, method: str, source: str):
    """The run of a method that learns on a source."""
    return next(run for run in plan.runs.values() if (run.method, run.source) == (method, (source,)))


def write(path: Path, text: str = "{}") -> Path:
    """A file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_curve(folder: Path, *points: tuple[int, float, float]) -> None:
    """A curve of (step, time, images per second), and a line that is just being written."""
    keys = ("step", "time", "images_per_second")
    rows = [json.dumps(dict(zip(keys, point, strict=True)) | {"losses": {"ce": 1.0}}) for point in points]
    write(folder / "curve.jsonl", "\n".join([*rows, '{"step": 99, "lo']))


def write_state(folder: Path, step: int) -> None:
    """A resume state as torch lays it out, without torch."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {"fingerprint": "f" * 64, "done": step, "seconds": 1.5, "module": {"done": 77}}
    with zipfile.ZipFile(folder / "resume.pt", "w") as stored:
        stored.writestr("resume/data.pkl", pickle.dumps(state, protocol=2))


def seen(now: float = 0.0) -> list[str]:
    """The lines of a look at the settings in force."""
    return list(lines(look(Plan(load()), now=now)))


def record(plan: Plan, method: str, pair: str) -> Path:
    """Where the workflow would write a cell's record."""
    return next(Path(p) for p, c in plan.by_record.items() if (c.method, str(c.pair)) == (method, pair))


def test_every_state_in_one_look(plan):
    """A record, a process at work, a saved state without a process, a failure: one line each, and the counts."""
    done, failed = run_of(plan, "source-aug", "a"), run_of(plan, "source-aug", "b")
    running, interrupted = run_of(plan, "source-only", "a"), run_of(plan, "source-only", "b")
    write(record(plan, "source-aug", "a->b"))
    write(failed.folder / "train.log", f"step 2/6  loss 1.000\n{ERROR}\nxdseg: settings in force: XDSEG_CONFIG=x\n")
    write_state(interrupted.folder, 4)
    write_curve(interrupted.folder, (5, 100.0, 9.0))
    with held(running.folder) as process:
        start = (running.folder / ".lock").stat().st_mtime
        write_curve(running.folder, (2, start + 5, 9.0), (4, start + 10, 0.2))
        # two steps of two images at 0.2 images/s are 20 s, of which 3 have passed
        assert seen(start + 13) == [
            HEAD,
            "6 cells: 1 done, 2 running, 1 failed, 2 missing",
            f"running      {running.name}  step 4 of 6, ETA 0:17, 0.2 images/s, last point 0:03 ago, {process}",
            f"interrupted  {interrupted.name}  resumes after step 4 of 6",
            f"failed       {failed.name:<{len(running.name)}}  {ERROR} [{failed.folder}/train.log]",
        ]
    assert done.name not in "\n".join(seen())
    assert seen()[2] == f"interrupted  {running.name}  stopped after step 4 of 6, no readable state: starts anew"


def test_nothing_done_and_all_done(plan):
    """A fresh project waits; with every record there is nothing to say but the counts."""
    waiting = [f"waiting      {run.name:<{len(plan.cells[0].run.name)}}  to be trained" for run in plan.runs.values()]
    assert seen() == [HEAD, "6 cells: 0 done, 0 running, 0 failed, 6 missing", *waiting]
    for path in plan.by_record:
        write(Path(path))
    assert seen() == [HEAD, "6 cells: 6 done, 0 running, 0 failed, 0 missing"]


def test_stages_after_training(plan):
    """Trained, predicting, failed in prediction, predicted, failed in the score of one cell of two."""
    run = run_of(plan, "source-only", "a")
    receipt = Path(plan.predictions[str(run.folder)])

    def line() -> str:
        return seen()[2].partition(run.name)[2].strip()

    write(run.folder / "run.json")
    assert line() == "trained, to be predicted"
    with held(run.folder) as process:
        write_curve(run.folder, (6, 1e12, 3.0))
        assert line() == f"predicting, {process}"
    log = write(receipt.with_suffix(".log"), "Traceback (most recent call last):\n  File x\nOSError: disk\n")
    assert line() == f"OSError: disk [{log}]"
    write(receipt)
    assert line() == "predicted, to be scored"
    cell = plan.cells_of_run[str(run.folder)][1]
    log = write(cell.score_path.with_suffix(".log"), "xdseg: no labels\n")
    assert line() == f"xdseg: no labels [{log}]"
    assert seen()[1] == "6 cells: 0 done, 0 running, 1 failed, 5 missing"


def test_a_parent_comes_first(project):
    """A run that starts from another waits for it; once both their cells are there, the parent is not asked for."""
    methods = project.config["methods"]
    methods["fine-tune"] = methods["oracle"] | {"setting": "finetune", "start": "source-only"}
    project.write(project.config | {"grid": project.config["grid"] | {"methods": ["fine-tune"], "pairs": ["a->b"]}})
    plan = Plan(load())
    parent, child = plan.runs.values()
    width = len(child.name)
    assert seen()[1:] == [
        "1 cell: 0 done, 0 running, 0 failed, 1 missing",
        f"waiting      {parent.name:<{width}}  to be trained",
        f"waiting      {child.name:<{width}}  to be trained, after {parent.name}",
    ]
    write(parent.folder / "run.json")
    assert seen()[2:] == [f"waiting      {child.name}  to be trained"]


def test_a_failed_cache_is_why_its_runs_wait(plan):
    """The log of the decoded split that a run still lacks is what its reader has to know."""
    run = run_of(plan, "source-aug", "a")
    cache = Path(plan.training_inputs(str(run.folder))[0])
    log = write(cache.with_suffix(".log"), "xdseg: a/images: not the 4 images\n")
    assert next(line for line in seen() if run.name in line).endswith(f"xdseg: a/images: not the 4 images [{log}]")
    write(cache)
    assert next(line for line in seen() if run.name in line).endswith("to be trained")


def test_a_process_that_has_said_nothing_yet(plan):
    """Points of an earlier process give the step, but no rate and no time; without any, only the process is named."""
    run = run_of(plan, "source-only", "a")
    with held(run.folder) as process:
        assert seen()[2].endswith(f"  no point yet, {process}")
        write_curve(run.folder, (2, 5.0, 9.0))
        assert seen()[2].endswith(f"  step 2 of 6, no point yet, {process}")


def test_a_rate_that_is_rounded_away(plan):
    """Below 0.05 images/s the curve says 0.0; two points, 80 s and 2 steps of 2 images apart, say 0.05."""
    run = run_of(plan, "source-only", "a")
    with held(run.folder) as process:
        start = (run.folder / ".lock").stat().st_mtime
        write_curve(run.folder, (2, start + 10, 0.0), (4, start + 90, 0.0))
        found = look(Plan(load()), now=start + 90)["runs"][0]
    assert found["eta_seconds"] == pytest.approx(80, abs=0.2)
    assert found["process"] == process


def test_json_is_the_text(plan, capsys):
    """The lines can be made from the JSON, and both come from the same look."""
    write_state(run_of(plan, "source-only", "a").folder, 4)
    assert main(["status", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["status"]) == 0
    assert list(lines(printed)) == capsys.readouterr().out.splitlines()
    assert printed["cells"] == {"done": 0, "running": 0, "failed": 0, "missing": 6}
    first = {"run": run_of(plan, "source-only", "a").name, "state": "interrupted", "stage": "train", "cells": 2}
    assert printed["runs"][0] == first | {"steps": 6, "saved": 4}


def test_looking_changes_nothing(plan):
    """No file is made or touched, the lock's included."""
    run = run_of(plan, "source-only", "a")
    write_state(run.folder, 4)
    write(run.folder / ".lock", "process 1 on x\n")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    seen()
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    assert holder(run.folder) is None


def test_bad_settings_and_times_are_one_line(project, capsys):
    """Exit code 2 and one line, for a misspelt method and for a time that is none."""
    assert main(["status", "--watch", "0"]) == 2
    assert capsys.readouterr().err == "xdseg: --watch 0: seconds between two looks, more than 0\n"
    project.write(project.config | {"grid": project.config["grid"] | {"methods": ["sorce-only"]}})
    assert main(["status"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "did you mean 'source-only'?" in error


def test_light(plan):
    """A look imports nothing that takes long to import."""
    heavy = "{'torch', 'matplotlib', 'mlflow', 'pandas', 'snakemake', 'timm'}"
    code = (
        f"import sys; from xdseg.cli import main; main(['status']); sys.exit(sorted({heavy} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_watch_until_interrupted(plan):
    """In a log each look begins with its time and ends with a blank line; what happens meanwhile is seen; exit 0."""
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, "status", "--watch", "0.2"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    first = [child.stdout.readline() for _ in range(8)]
    assert first[1:3] == [f"{HEAD}\n", "6 cells: 0 done, 0 running, 0 failed, 6 missing\n"] and first[7] == "\n"
    for path in plan.by_record:
        write(Path(path))
    while child.stdout.readline() != "6 cells: 6 done, 0 running, 0 failed, 0 missing\n":
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=300)[0]
    assert child.returncode == 0 and "\033" not in rest


def test_an_interrupt_before_the_first_look(project, monkeypatch):
    """Ctrl-C while the settings are read ends watching as well; a single look it breaks off."""

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("xdseg.cli_status.params_of", interrupted)
    assert main(["status", "--watch", "5"]) == 0
    with pytest.raises(KeyboardInterrupt):
        main(["status"])


def test_saved_step_of_torch(tmp_path):
    """The step that the training itself saved is found; of what is no state, none."""
    import torch

    from xdseg.training.checkpoint import PREVIOUS, RESUME, save_resume

    assert (RESUME, PREVIOUS) == STATES
    for step in (7, 300, 70_000, 3_000_000_000):
        state = {"fingerprint": "f" * 64, "done": step, "seconds": 0.5, "module": {"w": torch.zeros(3)}}
        save_resume(tmp_path, state)
        assert saved_step(tmp_path / RESUME) == step
    (tmp_path / RESUME).write_bytes(b"PK torn")
    assert saved_step(tmp_path / RESUME) is None
    assert saved_step(tmp_path / "none.pt") is None


def test_no_flipped_bit_ends_the_look(plan):
    """Whichever bit of a state is flipped, the other runs are shown, and its step is the one saved or not told."""
    run = run_of(plan, "source-only", "a")
    write_state(run.folder, 4)
    path = run.folder / STATES[0]
    whole, found = path.read_bytes(), []
    for at in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        found.append(saved_step(path))
    assert set(found) == {4, None} and found.count(None) > found.count(4)
    at = whole.rindex(b"PK\1\2") + ENCRYPTED  # the flag of the entry in the zip's directory
    path.write_bytes(whole[:at] + bytes([whole[at] | 1]) + whole[at + 1 :])
    assert seen()[2] == f"interrupted  {run.name}  stopped, no readable state: starts anew"
    assert len(seen()) == 6, "four runs"


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("step 1/6\n", None),
        ("xdseg: a\nxdseg: b\nxdseg: settings in force: XDSEG_CONFIG=x\n", "xdseg: b"),
        ("Traceback (most recent call last):\n  File\nValueError: x\n", "ValueError: x"),
        ("Traceback (most recent call last):\n  File\nValueError: x\nTraceback (most recent call last):\n", None),
        ("Traceback (most recent call last):\n  File\n\nm.Error: two\nlines\n", "m.Error: two"),
        ("xdseg: old\nTraceback (most recent call last):\n  File\nKeyboardInterrupt\n", None),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread\n", "Fatal Python error: Segmentation fault"),
        ("x.py:1: UserWarning: Error\n", None),
    ],
)
def test_last_error(tmp_path, log, error):
    """The line that says what failed; an interrupt, progress and warnings are no failure."""
    path = write(tmp_path / "x.log", log)
    assert last_error(path) == error


def test_an_error_is_outlived_by_a_later_process(plan):
    """After a failure somebody trained by hand and was interrupted: the old log says nothing of that."""
    run = run_of(plan, "source-only", "a")
    log, lock = write(run.folder / "train.log", f"{ERROR}\n"), write(run.folder / ".lock")
    write_state(run.folder, 4)
    os.utime(log, (1000, 1000))
    os.utime(lock, (999, 999))
    assert seen()[2].startswith("failed")
    os.utime(lock, (1001, 1001))
    assert seen()[2].startswith("interrupted")


def test_points_at_the_end_of_a_long_curve(tmp_path):
    """Only the end of the file is read, and lines that are no points are passed over."""
    write_curve(tmp_path, *((step, float(step), 1.0) for step in range(1, 5001)))
    assert [point["step"] for point in last_points(tmp_path / "curve.jsonl")] == [4999, 5000]
    write(tmp_path / "other", '[]\n{"step": "x"}\n')
    assert last_points(tmp_path / "other") == []
