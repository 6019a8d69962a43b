"""The mirror through `mlflow server` on loopback: on SQLite, on PostgreSQL, and away."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CLASSES, write_suite
from test_tracking import (
    empty_store,
    free_port,
    fresh,
    in_sql,
    plan,
    put_all,
    record_of,
    run,
    serve,
    stop,
    visible,
    write_record,
)

from xdseg.cli import main
from xdseg.params import load
from xdseg.tracking.follow import patiently
from xdseg.tracking.mirror import Mirror
from xdseg.tracking.records import all_records
from xdseg.tracking.store import StoreAway, open_store
from xdseg.workflow import Plan

__all__ = ["empty_store", "fresh", "plan"]  # fixtures of the mirror's own tests

DOMAINS, SEEDS = ("a", "b", "c", "d"), 25
TRAININGS = 4 * SEEDS  # one for each source,
CELLS = 2 * 12 * SEEDS  # which serves three targets and, as their oracle, three more cells
POINTS = 3 * 4 + 3  # of a training: 3 steps of loss, two terms and rate; 3 costs
VALUES = 8  # of a cell


def programs(name: str) -> Path | None:
    """One of PostgreSQL's programs; Debian keeps them out of the path."""
    found = shutil.which(name)
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return places[-1] if places else None


class Postgres:
    """A PostgreSQL of its own: in a temporary folder, on loopback, gone afterwards."""

    def __init__(self) -> None:
        # the server refuses to run as root, and its user may not see pytest's folders
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="xdseg-postgres-")), free_port()
        self.before: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self.before = ["runuser", "-u", "postgres", "--"]

    def __enter__(self) -> str:
        """The address of an empty database."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self.call("initdb", "-D", self.folder / "data", "-U", "xdseg", "--auth=trust", "-E", "UTF8", "--no-sync")
        self.call("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")
        self.call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "xdseg", "mlflow")
        return f"postgresql://xdseg@127.0.0.1:{self.port}/mlflow"

    def __exit__(self, *_: object) -> None:
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, name: str, *arguments: object, check: bool = True) -> None:
        """Run a program of PostgreSQL's, as its user."""
        command = [*self.before, str(programs(name)), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=300)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, empty_store, tmp_path) -> Iterator[str]:
    """The address of an empty database for a server."""
    if request.param == "sqlite":
        shutil.copy(empty_store, tmp_path / "served.db")
        yield f"sqlite:///{tmp_path}/served.db"
        return
    if not programs("initdb"):
        pytest.skip("no initdb: PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with Postgres() as address:
        yield address


def counts(address: str) -> dict[str, int]:
    """Rows in the database itself, beside the server."""
    from sqlalchemy import create_engine, text

    tables = ("runs", "metrics", "params", "datasets", "inputs")
    engine = create_engine(address)
    with engine.connect() as connection:
        found = {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in tables}
    engine.dispose()
    return found


@pytest.mark.slow
def test_600_cells_mirrored_twice(project, data, database, tmp_path, monkeypatch, capsys):
    """Through a server, from nothing: each run, point, parameter and input once, and once more nothing."""
    write_suite(data, "wide", DOMAINS)
    config = project.config
    config["suites"]["wide"] = {"kind": "folder", "root": "wide"}
    config["grid"] |= {"suite": "wide", "methods": ["source-only", "oracle"], "seeds": list(range(SEEDS))}
    project.write(config)
    assert main(["prepare", "wide"]) == 0
    cells = Plan(load()).cells
    for number, cell in enumerate(cells):
        write_record(cell, miou=number / CELLS)
    assert len(all_records()) == CELLS
    port = free_port()
    server = serve(database, port, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    try:
        seconds = []
        for done in (f"{CELLS + TRAININGS} new, 0 updated", f"0 new, 0 updated, 0 replaced, {CELLS + TRAININGS}"):
            began = time.monotonic()
            assert main(["track"]) == 0
            seconds.append(time.monotonic() - began)
            assert f"{TRAININGS} trainings, {CELLS} cells, 0 boards, 0 rows; {done}" in capsys.readouterr().out
            found = counts(database)
            assert found["runs"] == CELLS + TRAININGS
            assert found["metrics"] == TRAININGS * POINTS + CELLS * VALUES
            assert found["datasets"] == 8, "train and val of each domain"
            assert found["inputs"] == CELLS + TRAININGS
        assert found == counts(database)
        mirror = Mirror(open_store(f"http://127.0.0.1:{port}"), f"http://127.0.0.1:{port}")
        for number in (0, CELLS // 2, CELLS - 1):
            held = mirror.find("wide", "cell", cells[number].record_name)
            above = mirror.find("wide", "training", cells[number].run.name)
            assert held.metrics["miou"] == number / CELLS
            assert held.tags["mlflow.parentRunId"] == above.run_id
            assert [name for name, _, _ in held.inputs] == [f"wide/{cells[number].pair.target}/val"]
        assert len(mirror.index) == CELLS + TRAININGS
    finally:
        stop(server)
    rates = [f"{(CELLS + TRAININGS) / taken:.0f}" for taken in seconds]
    print(f"{database.partition(':')[0]}: {rates[0]} runs/s new, {rates[1]} runs/s unchanged", file=sys.__stderr__)


# --- a server that is away


def test_tracking_server_down(plan, fresh, monkeypatch, capsys):
    """Nothing is lost: one line and exit code 2, records are made on, and the next mirroring shows all of them."""
    write_record(plan.cells[0])
    mirror = fresh()
    there = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert main(["track"]) == 2
    error = capsys.readouterr().err
    assert "nobody answers" in error and error.count("\n") == 1
    for cell in plan.cells[1:]:
        write_record(cell)
    assert main(["track"]) == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there)
    assert main(["track"]) == 0
    never_away = fresh()
    assert main(["track"]) == 0
    assert visible(mirror) == visible(never_away) and in_sql(mirror) == in_sql(never_away)


def test_waiting_says_so_once(monkeypatch):
    """However often nobody answers; then what was asked for is done, whole, once."""
    answers, said = iter([StoreAway("s: nobody answers"), StoreAway("s: nobody answers"), "done"]), []

    def action() -> str:
        answer = next(answers)
        if isinstance(answer, StoreAway):
            raise answer
        return answer

    assert patiently(action, every=0, say=said.append) == "done"
    assert said == ["s: nobody answers; trying again every 0 s", "the store answers again"]


def test_a_follower_that_is_to_end_does_not_wait(plan, monkeypatch, capsys):
    """With --until-idle somebody waits for the exit code."""
    write_record(plan.cells[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert main(["track", "--follow", "--until-idle", "1"]) == 2
    assert "nobody answers" in capsys.readouterr().err


@pytest.mark.slow
def test_a_follower_started_before_its_server(plan, fresh, tmp_path, monkeypatch):
    """It waits, mirrors what was recorded meanwhile, and what it shows is what a server that was never away shows."""
    write_record(plan.cells[0])
    remote, port = fresh(), free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    process, server = run("track", "--follow", "--every", "0.5"), None
    try:
        assert "nobody answers" in process.stdout.readline()
        for cell in plan.cells[1:]:  # runs know nothing of MLflow and go on
            write_record(cell)
        server = serve(remote.uri, port, tmp_path)
        assert process.stdout.readline() == "the store answers again\n"
        assert "1 trainings, 1 cells, 0 boards, 0 rows; " in process.stdout.readline()
        until = time.monotonic() + 180
        while in_sql(remote)[0] < 10 and time.monotonic() < until:
            time.sleep(0.25)
        process.terminate()
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
        if server:
            stop(server)
    local = fresh()
    put_all(local)
    shown, expected = visible(remote), visible(local)
    assert shown.keys() == expected.keys()
    key = plan.cells[-1].record_name
    assert shown[key][6] == expected[key][6], "metrics"
    assert record_of(plan.cells[-1])["scores"]["kept"] == CLASSES
