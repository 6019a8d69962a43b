"""`xdseg train` with several processes: as Snakemake's rule calls it, and through torchrun, as a person may."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from conftest import small_config

from xdseg.cells import Context, Run
from xdseg.cli import main
from xdseg.grid import expand
from xdseg.inspection.holding import holder
from xdseg.params import parse
from xdseg.stages import train as stage
from xdseg.workflow import cache_path

TIMEOUT = 600  # two processes import torch
LISTEN = "0A"  # a socket's state in /proc/net/tcp


def planned() -> tuple[dict, Run]:
    """Settings whose every training has two processes, and the run of the grid whose source is a, with its cache."""
    config = small_config(methods=["source-only"])
    config["protocols"]["tiny"]["training"] |= {"precision": "fp32", "optimizer": "sgd", "steps": 3}
    config["runtime"] |= {"device": "cpu", "processes": 2, "log_every": 1}
    context = Context.of(parse(config))
    run = next(cell.run for cell in expand(context).cells if cell.pair.source == ("a",))
    for seen in run.sees:
        assert main(["cache", cache_path(context, *seen)]) == 0
    return config, run


def command(*words: str) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], env=environment, capture_output=True, text=True, timeout=TIMEOUT
    )


def curve(folder: Path) -> list[float]:
    """Total losses of a run."""
    return [sum(json.loads(line)["losses"].values()) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_two_processes_train_the_run_that_the_grid_wants(project):
    """Same fingerprint and, to float tolerance, same losses as one process; the receipt says how many there were."""
    config, run = planned()
    project.write(config)
    done = command("xdseg.cli", "train", str(run.folder / "run.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("step 3/3") == 1, "one process speaks"
    said, losses = json.loads((run.folder / "run.json").read_text()), curve(run.folder)
    assert said["environment"]["processes"] == 2 and said["fingerprint"] == run.fingerprint
    again = command("xdseg.cli", "train", str(run.folder / "run.json"))
    assert again.returncode == 0 and again.stdout.count("already trained") == 1
    run.folder.rename(run.folder.with_name("two"))
    config["runtime"]["processes"] = 1
    project.write(config)
    assert main(["train", str(run.folder / "run.json")]) == 0
    alone = json.loads((run.folder / "run.json").read_text())
    assert "processes" not in alone["environment"] and alone["fingerprint"] == said["fingerprint"]
    assert losses[0] == pytest.approx(curve(run.folder)[0], rel=1e-5)
    assert losses == pytest.approx(curve(run.folder), rel=0.05), "two images in batch norm soon go ways of their own"


@pytest.mark.parametrize(("processes", "outcome"), [(1, 0), (2, 0), (2, 143)])
def test_cards_are_taken_once_the_run_is(project, monkeypatch, processes, outcome):
    """So a second start of a run, which waits for the first, keeps no card idle; copies take none; codes are theirs."""
    config, run = planned()
    config["runtime"]["processes"] = processes
    project.write(config)
    seen, receipt = [], str(run.folder / "run.json")

    @contextmanager
    def taken(runtime, *, cards):
        seen.append((cards, holder(run.folder) is not None))
        yield

    monkeypatch.setattr(stage, "held", taken)
    monkeypatch.setattr(stage, "_train", lambda *_: seen.append("here"))
    monkeypatch.setattr(stage, "launch", lambda count, _: seen.append(count) or outcome)
    with pytest.raises(SystemExit, match=str(outcome)) if outcome else nullcontext():
        assert main(["train", receipt]) == 0
    assert seen == [(processes, True), "here" if processes == 1 else 2]
    assert (run.folder / ".lock").read_text() == "", "nobody was killed"
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "XDSEG_MEETING": "x"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", receipt]) == 0 and seen[2:] == ["here"]


def listening(process: int) -> set[str]:
    """Addresses, as Linux writes them, at which a process takes connections; those of all interfaces are zeros."""
    links = [os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()]
    rows = [
        row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/{process}/net/{name}").read_text().splitlines()
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in links}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux")
def test_sigterm_to_two_processes(project, capsys):
    """Code 143, a state and a line, as of one process; `status` calls it interrupted. Sockets are those of loopback."""
    config, run = planned()
    config["protocols"]["tiny"]["training"]["steps"] = 5000
    config["runtime"] |= {"checkpoint_every": 5000}
    project.write(config)
    run = next(cell.run for cell in expand(Context.of(parse(config))).cells if cell.pair.source == ("a",))
    words = [sys.executable, "-m", "xdseg.cli", "train", str(run.folder / "run.json")]
    run.folder.mkdir(parents=True)
    log, curve = run.folder / "train.log", run.folder / "curve.jsonl"
    with log.open("w") as file:
        child = subprocess.Popen(words, stdout=file, stderr=file)
    until = time.monotonic() + TIMEOUT
    while not curve.exists() or not curve.read_text():
        assert child.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    copies = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    assert len(copies) == 2
    assert [listening(int(copy)) for copy in copies] == [{"0100007F"}] * 2 and listening(child.pid) == set()
    child.terminate()
    assert child.wait(TIMEOUT) == 143, log.read_text()
    assert "; run it again to go on\n" in log.read_text() and "Traceback" not in log.read_text()
    assert (run.folder / ".lock").read_text() == ""
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    seen = {each["run"]: each for each in json.loads(capsys.readouterr().out)["runs"]}
    state = seen[run.folder.relative_to("results").as_posix()]
    assert state["state"] == "interrupted" and f"saved after step {state['saved']};" in log.read_text()


@pytest.mark.slow
def test_torchrun_by_hand_and_what_is_refused(project):
    """torchrun directly trains the run as well; more processes than images end it, with the line that says so."""
    config, run = planned()
    project.write(config)
    launch = ("torch.distributed.run", "--standalone", "--nproc-per-node")
    receipt = ("-m", "xdseg.cli", "train", str(run.folder / "run.json"))
    failed = command(*launch, "3", *receipt)
    assert failed.returncode == 1 and not (run.folder / "run.json").exists()
    assert "xdseg: runtime.processes: 3 are more than the 2 images of a round; set fewer" in failed.stderr
    done = command(*launch, "2", *receipt)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((run.folder / "run.json").read_text())["environment"]["processes"] == 2
