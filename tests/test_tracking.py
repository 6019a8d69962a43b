"""MLflow as a mirror of the records: written once, whole, and growing with the runs."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CLASSES, ROOT

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.params import load
from xdseg.tracking.curves import Point, read_points, recorded_points
from xdseg.tracking.follow import KILLED_AFTER, Follower
from xdseg.tracking.inputs import Inputs
from xdseg.tracking.mirror import NEW, REPLACED, SAME, UPDATED, Mirror, agrees
from xdseg.tracking.names import flat_settings, metric_names
from xdseg.tracking.records import all_records, load_all, wanted_runs
from xdseg.tracking.store import StoreAway, open_store, shown, writer
from xdseg.tracking.wanted import cell, training
from xdseg.workflow import Plan

START = 1_780_000_000  # seconds since 1970
CODE = "import sys; from xdseg.cli import main; sys.exit(main(sys.argv[1:]))"


def moment(seconds: float) -> str:
    """ISO 8601, UTC, as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(START + seconds))


def curve(count: int, *, first: float = 5, loss: float = 1.0) -> dict:
    """Points every 2 steps, a second apart."""
    steps = [2 * n for n in range(1, count + 1)]
    losses = {"source/cross_entropy": [loss / s for s in steps], "dacs/cross_entropy": [0.1 * loss] * count}
    times = [START + first + n for n in range(count)]
    return {"step": steps, "time": times, "lr": [1e-3 / s for s in steps], "losses": losses}


def lines(columns: dict) -> list[str]:
    """The file that a run with this curve appends to, by line."""
    losses = columns["losses"]
    return [
        json.dumps({"step": s, "time": t, "lr": r, "losses": {name: losses[name][n] for name in losses}}) + "\n"
        for n, (s, t, r) in enumerate(zip(columns["step"], columns["time"], columns["lr"], strict=True))
    ]


def record_of(cell, *, miou: float = 0.5, points: int = 3, started: float = 0) -> dict:
    """A record of a cell of the toy grid whose training took a minute."""
    from xdseg.records import head
    from xdseg.tracking.follow import settings_of

    return {
        "schema": 1,
        "origin": "run",
        "suite": cell.context.suite,
        "method": cell.method,
        "setting": cell.definition.setting,
        "source": list(cell.pair.source),
        "target": cell.pair.target,
        "seed": cell.seed,
        "note": "toy",
        "protocol": head(cell.context, cell.pair, cell.seed)["protocol"],
        "benchmark_version": "0.1.0",
        "classes": CLASSES,
        "fingerprints": {"train": cell.run.fingerprint, "predict": cell.predict, "score": cell.score},
        "run": cell.run.name,
        "scores": {
            "miou": miou,
            "pixel_accuracy": 0.75,
            "iou": {"ground": 0.25, "thing": None, "sky": 0.5},
            "kept": CLASSES,
            "images": 2,
            "confusion": [[1, 0, 0]] * 3,
        },
        "model": {"parameters": 1000, "trainable": 1000},
        "costs": {"train_seconds": 60.0, "steps": 6, "predict_seconds": 2.5, "peak_memory_mb": None},
        "environment": {
            "commit": "c0ffee",
            "dirty": False,
            "device": "cpu",
            "precision": "bf16",
            "started": moment(started),
            "ended": moment(started + 60),
        },
        "digests": {"weights": "aa", "predictions": "bb"},
        "settings": json.loads(json.dumps(settings_of(cell.run))),
        "curve": curve(points, first=started + 5) if points else None,
    }


def write_record(cell, *, root: str = "results/records", **changes) -> Path:
    """Put a cell's record where the workflow would."""
    path = Path(root) / cell.record_name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record_of(cell, **changes)))
    return path


def entered(path: Path, like: dict) -> None:
    """A row that came from another code base's predictions."""
    nothing = {"run": None, "model": None, "costs": None, "digests": {}, "settings": {}, "curve": None}
    prints = {"train": None, "predict": None, "score": "d4" * 32}
    about = {"commit": "c0ffee", "dirty": True, "started": moment(500)}
    row = like | nothing | {"origin": "predictions", "method": "my-net", "fingerprints": prints, "environment": about}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An SQLite store whose tables are made: MLflow needs seconds for that."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def fresh(empty_store, tmp_path, monkeypatch):
    """Makes empty stores and points the commands at them; returns a Mirror."""
    made = []

    def make() -> Mirror:
        path = tmp_path / f"store{len(made)}" / "mlflow.db"
        path.parent.mkdir()
        shutil.copy(empty_store, path)
        made.append(path)
        uri = f"sqlite:///{path}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return Mirror(open_store(uri), uri)

    return make


@pytest.fixture
def plan(project) -> Plan:
    """Of the toy grid: 4 trainings, 6 cells."""
    return Plan(load())


def visible(mirror: Mirror) -> dict:
    """All that a store shows, without its own ids."""
    client, found, keys = mirror.client, {}, {}
    runs = [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id], max_results=5000)
    ]
    for run in runs:
        keys[run.info.run_id] = run.data.tags["xdseg.key"]
    assert len(set(keys.values())) == len(keys), "a run stands there twice"
    for run in runs:
        tags = dict(run.data.tags)
        tags["mlflow.parentRunId"] = keys.get(tags.get("mlflow.parentRunId"))
        info, key = run.info, tags["xdseg.key"]
        history = {
            name: sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(info.run_id, name))
            for name in run.data.metrics
        }
        params = dict(run.data.params)
        inputs = sorted((one.dataset.to_dictionary(), one.to_dictionary()["tags"]) for one in run.inputs.dataset_inputs)
        found[key] = (info.run_name, info.status, info.start_time, info.end_time, tags, params, history, inputs)
    return found


def in_sql(mirror: Mirror) -> tuple[int, int, int]:
    """Active runs, metric points, parameters, counted in the file itself."""
    active = "(SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active')"
    with sqlite3.connect(mirror.uri.removeprefix("sqlite:///")) as database:
        counts = [
            database.execute(f"SELECT count(*) FROM {table} WHERE run_uuid IN {active}").fetchone()[0]
            for table in ("runs", "metrics", "params")
        ]
    return tuple(counts)


def put_all(mirror: Mirror, paths=None) -> list[str]:
    """Mirror records; what was done to each run."""
    return [mirror.put(one) for one in wanted_runs(load_all(paths or all_records()))]


# --- names and times


def test_metric_names_are_valid_and_different():
    """What MLflow refuses is replaced, and two names that then meet are told apart."""
    assert metric_names("iou", ["a(b", "a)b", "traffic light", "car/van", ".."]) == {
        "a(b": "iou/a_b",
        "a)b": "iou/a_b 2",
        "traffic light": "iou/traffic light",
        "car/van": "iou/car.van",
        "..": "iou/__",
    }
    assert metric_names("loss", ["dacs/ce"]) == {"dacs/ce": "loss/dacs.ce"}, "one group of charts for all terms"


def test_settings_become_parameters():
    """Components by their kind, the rest by its path; two of a kind are numbered."""
    mixed = {"kind": "dacs", "version": 1, "settings": {"alpha": 0.99}}
    settings = {
        "segmenter": {"kind": "daformer", "version": 1, "settings": {"channels": 64}},
        "adaptations": [mixed, mixed],
        "training": {"lr": 0.003, "betas": (0.9, 0.999), "clip": None, "optimizer": "adamw"},
    }
    assert flat_settings(settings) == {
        "segmenter": "daformer",
        "segmenter.channels": "64",
        "adaptations": "dacs+dacs",
        "dacs.1.alpha": "0.99",
        "dacs.2.alpha": "0.99",
        "training.lr": "0.003",
        "training.betas": "[0.9, 0.999]",
        "training.clip": "null",
        "training.optimizer": "adamw",
    }
    assert flat_settings({"adaptations": []}) == {"adaptations": "none"}


def test_recorded_and_estimated_times():
    """Times are the record's; where it has none, point 4 of 6 steps in 60 s lies 40 s after the start."""
    columns = {"step": [4, 6], "time": [START + 1.5, START + 2], "lr": [0.1, 0.2], "losses": {"source/ce": [2.0, 1.0]}}
    record = {"curve": columns, "costs": {"train_seconds": 60.0, "steps": 6}}
    points, times = recorded_points(record, Path("r.json"), start=START * 1000)
    assert times == "recorded"
    assert points[0] == Point(4, START * 1000 + 1500, {"loss": 2.0, "loss/source.ce": 2.0, "lr": 0.1})
    del columns["time"]
    points, times = recorded_points(record, Path("r.json"), start=START * 1000)
    assert times == "estimated"
    assert [point.time - START * 1000 for point in points] == [40_000, 60_000]
    assert recorded_points({"costs": None}, Path("r.json"), start=None) == ([], "no curve")


def test_uneven_curve_names_the_record():
    """A column that lacks a value is not filled in."""
    record = {"curve": {"step": [1, 2], "time": [1, 2], "losses": {"ce": [1.0]}}}
    with pytest.raises(BadInput, match=r"^r\.json: curve: not columns"):
        recorded_points(record, Path("r.json"), start=0)


def test_a_line_being_written_is_left(tmp_path):
    """Half a line is no point yet, and no fault; a whole line that is no point is one."""
    path = tmp_path / "curve.jsonl"
    written = lines(curve(2))
    path.write_text(written[0] + written[1][:-4])
    assert [point.step for point in read_points(path)[0]] == [2]
    path.write_text("".join(written))
    assert [point.step for point in read_points(path)[0]] == [2, 4]
    path.write_text(written[0] + "{}\n")
    with pytest.raises(BadInput, match="delete the run's folder"):
        read_points(path)
    assert read_points(tmp_path / "none.jsonl") == ([], "no curve")


def test_the_sum_of_losses_does_not_depend_on_their_order():
    """A record sorts its terms, a run does not: 0.1 + 0.2 + 0.3 must be one number."""
    terms = {"a": [0.1], "b": [0.2], "c": [0.3]}
    both = [
        recorded_points({"curve": {"step": [1], "time": [1], "losses": t}}, Path("r"), start=0)[0][0].values["loss"]
        for t in (terms, dict(reversed(terms.items())))
    ]
    assert both[0] == both[1]


def test_what_counts_as_the_same_training():
    """Equal losses and an equal first time; later points may have been repeated later."""
    points = [Point(2, 100, {"loss": 1.0}), Point(4, 200, {"loss": 0.5})]
    assert agrees({2: (1.0, 100), 4: (0.5, 999)}, points)
    assert not agrees({2: (1.0, 101), 4: (0.5, 200)}, points), "begun at another time"
    assert not agrees({2: (1.0, 100), 4: (0.5000001, 200)}, points), "another loss"
    assert not agrees({3: (1.0, 100)}, points), "nothing to compare"


# --- what is wanted


def test_a_training_that_serves_two_cells_is_one(plan):
    """source-only(a) serves a->b and, as the oracle, b->a: a training and two cells, each nested in it."""
    for number, cell_ in enumerate(plan.cells):
        write_record(cell_, miou=number / 10)
    wanted = wanted_runs(load_all(all_records()))
    trainings = [one for one in wanted if one.kind == "training"]
    assert sorted(one.name for one in trainings) == [
        "source-aug a s0 · training",
        "source-aug b s0 · training",
        "source-only a s0 · training",
        "source-only b s0 · training",
    ]
    home = plan.cells[0].run
    assert sorted(one.name for one in wanted if one.parent == home.name) == ["oracle b→a s0", "source-only a→b s0"]


def test_scores_costs_and_tags_of_a_cell(plan):
    """Every number stands there as the record has it; an IoU that is undefined does not stand there at all."""
    record = record_of(plan.cells[0], miou=1 / 3)
    wanted = cell("k", Path("r.json"), record)
    assert wanted.metrics == {
        "miou": 1 / 3,
        "pixel_accuracy": 0.75,
        "iou/ground": 0.25,
        "iou/sky": 0.5,
        "resources/train_seconds": 60.0,
        "resources/steps": 6.0,
        "resources/predict_seconds": 2.5,
        "resources/parameters": 1000.0,
    }
    assert (wanted.start, wanted.end) == ((START + 60) * 1000, (START + 60) * 1000 + 2500)
    said = wanted.all_tags
    told = {key: said[key] for key in ("method", "source", "target", "seed", "origin", "git.commit", "git.dirty")}
    assert told == {
        "method": "source-only",
        "source": "a",
        "target": "b",
        "seed": "0",
        "origin": "run",
        "git.commit": "c0ffee",
        "git.dirty": "false",
    }
    assert said["xdseg.score"] == plan.cells[0].score and said["xdseg.train"] == plan.cells[0].run.fingerprint


def test_of_two_trainings_the_one_with_a_curve_then_the_latest(plan):
    """Records of one run made on two machines: its page shows one of the two trainings, whole."""
    cell_ = plan.cells[0]
    bare, early, late = (record_of(cell_, points=p, started=s) for p, s in ((0, 900), (3, 0), (3, 300)))
    pick = training([(Path("late"), late), (Path("early"), early), (Path("bare"), bare)])
    assert pick.start == (START + 300) * 1000 and len(pick.curve) == 3


def test_what_was_made_here_goes_before_what_is_committed(plan):
    """One cell, two records: once, with the value of results/."""
    write_record(plan.cells[0], root="records", miou=0.1)
    write_record(plan.cells[1], root="records", miou=0.2)
    write_record(plan.cells[0], miou=0.9)
    found = [record["scores"]["miou"] for _, record in load_all(all_records()).values()]
    assert sorted(found) == [0.2, 0.9]


# --- the mirror


def test_mirroring_twice_adds_nothing(plan, fresh, capsys):
    """Runs, points and parameters, counted through MLflow and in the file; values are the records'."""
    for number, cell_ in enumerate(plan.cells):
        write_record(cell_, miou=number / 10)
    entered(Path("records/toy/my-net/a--b/s0-d4d4d4d4.json"), record_of(plan.cells[0]))
    mirror = fresh()
    assert main(["track", "--all"]) == 0
    assert "4 trainings, 7 cells, 0 boards, 0 rows; 11 new" in capsys.readouterr().out
    first, counted = visible(mirror), in_sql(mirror)
    # 4 trainings of 3 points (loss, two terms, lr) and 3 costs; 6 cells of 8 values; an entered row of 4
    assert counted[:2] == (11, 4 * (3 * 4 + 3) + 6 * 8 + 4)
    assert main(["track", "--all"]) == 0
    assert "0 new, 0 updated, 0 replaced, 11 unchanged" in capsys.readouterr().out
    assert (visible(mirror), in_sql(mirror)) == (first, counted)

    _, status, start, end, _, params, history, _ = first[plan.cells[0].run.name]
    assert (status, start, end) == ("FINISHED", START * 1000, (START + 60) * 1000)
    assert params["training.steps"] == "6" and params["segmenter.decoder_channels"] == "32"
    assert history["lr"] == [
        (2, (START + 5) * 1000, 5e-4),
        (4, (START + 6) * 1000, 2.5e-4),
        (6, (START + 7) * 1000, 1e-3 / 6),
    ]
    assert first[plan.cells[0].record_name][4]["mlflow.parentRunId"] == plan.cells[0].run.name
    row = first["toy/my-net/a--b/s0-d4d4d4d4.json"]
    assert row[0] == "my-net a→b s0" and row[4]["mlflow.parentRunId"] is None and row[4]["origin"] == "predictions"


def test_a_corrected_record_updates_its_run(plan, fresh):
    """The run keeps its identity and shows the new value, also if the record is not newer."""
    write_record(plan.cells[0], miou=0.4)
    mirror = fresh()
    assert put_all(mirror) == [NEW, NEW]
    before = mirror.find("toy", "cell", plan.cells[0].record_name).run_id
    write_record(plan.cells[0], miou=0.6)
    assert put_all(mirror) == [UPDATED, UPDATED], "the cell, and the card of its training"
    mirror.forget()
    after = mirror.find("toy", "cell", plan.cells[0].record_name)
    assert (after.run_id, after.metrics["miou"]) == (before, 0.6)
    card = mirror.find("toy", "training", plan.cells[0].run.name).tags["mlflow.note.content"]
    assert "| 60.00 |" in card and "40.00" not in card
    assert put_all(mirror) == [SAME, SAME]


def test_trained_again_shows_as_if_it_were_the_first(plan, fresh):
    """Another training under the same fingerprint leaves no trace of the earlier one but what people wrote to it."""
    for cell_ in plan.cells:
        write_record(cell_, points=3)
    mirror = fresh()
    put_all(mirror)
    client, old = mirror.client, mirror.find("toy", "training", plan.cells[0].run.name).run_id
    client.set_tag(old, "mine", "look at this")
    mirror.forget()
    for cell_ in plan.cells:
        write_record(cell_, points=5, started=7200, miou=0.7)
    assert set(put_all(mirror)) == {REPLACED}
    again = visible(mirror)
    assert again[plan.cells[0].run.name][4].pop("mine") == "look at this"
    clean = fresh()
    put_all(clean)
    assert again == visible(clean)
    assert in_sql(mirror) == in_sql(clean)


def test_a_curve_that_comes_later_joins_its_run(plan, fresh):
    """An older record had none: same training, same run."""
    path = write_record(plan.cells[0], points=0)
    mirror = fresh()
    put_all(mirror)
    before = mirror.find("toy", "training", plan.cells[0].run.name).run_id
    write_record(plan.cells[0], points=3)
    assert put_all(mirror, [path]) == [UPDATED, SAME]
    clean = fresh()
    put_all(clean)
    assert visible(mirror) == visible(clean)
    assert mirror.find("toy", "training", plan.cells[0].run.name).run_id == before


class Flaky:
    """A client whose writes fail from the n-th on."""

    def __init__(self, client, n: int) -> None:
        self.client, self.left = client, n

    def __getattr__(self, name):
        answer = getattr(self.client, name)
        if not name.startswith(("create_run", "log_", "set_t", "update_", "delete_")):
            return answer

        def call(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise ConnectionError("gone")
            return answer(*args, **kwargs)

        return call


def test_cut_short_anywhere_then_whole(plan, fresh, monkeypatch):
    """Whichever write fails, the next mirroring ends where an unbroken one does."""
    monkeypatch.setattr("xdseg.tracking.mirror.METRICS_PER_BATCH", 4)  # so that a curve is several writes
    cells = (plan.cells[0], plan.cells[-1])
    for cell_ in cells:
        write_record(cell_)
    whole = fresh()
    put_all(whole)
    mirror = fresh()
    failures = 0
    while True:
        mirror.client, client = Flaky(mirror.client, 1 + failures % 3), mirror.client
        try:
            put_all(mirror)
            break
        except StoreAway as error:
            assert "gone" in str(error)
            failures += 1
        finally:
            mirror.client = client
            mirror.forget()
    assert failures > 3
    assert visible(mirror) == visible(whole)
    assert in_sql(mirror) == in_sql(whole)


def test_more_than_mlflow_takes_at_once(plan, fresh):
    """1000 metrics and 100 parameters are its limits for a batch; a long curve and many settings are divided."""
    record = record_of(plan.cells[0], points=700)
    record["settings"]["extra"] = {f"p{n}": n for n in range(250)}
    mirror = fresh()
    mirror.put(training([(Path("r"), record)]))
    found = visible(mirror)[plan.cells[0].run.name]
    assert [len(found[6][key]) for key in ("loss", "lr", "loss/source.cross_entropy")] == [700, 700, 700]
    assert sum(key.startswith("extra.") for key in found[5]) == 250


def test_two_folders_that_met_on_a_server_leave_one_run(plan, fresh):
    """Both looked before either wrote: the next mirroring throws one of the two away, and no cell is left behind."""
    write_record(plan.cells[0])
    first = fresh()
    second = Mirror(first.client, first.uri)
    for mirror in (first, second):
        assert mirror.find("toy", "training", plan.cells[0].run.name) is None
    put_all(first), put_all(second)
    assert in_sql(first)[0] == 4
    first.forget()
    put_all(first)
    clean = fresh()
    put_all(clean)
    assert visible(first) == visible(clean)


def test_addresses_of_the_tables(plan, fresh, capsys):
    """Printed for whoever opens the pages: a table of cells per suite."""
    write_record(plan.cells[0])
    mirror = fresh()
    assert main(["track", "--pages", "http://127.0.0.1:8080/"]) == 0
    number = mirror.client.get_experiment_by_name("xdseg/toy 0.1.0").experiment_id
    assert (
        f"toy 0.1.0: http://127.0.0.1:8080/#/experiments/{number}/runs?viewStateShareKey=cells"
        in capsys.readouterr().out
    )
    tags = mirror.client.get_experiment(number).tags
    view = json.loads(tags["mlflow.sharedViewState.cells"])
    found = mirror.client.search_runs([number], view["searchFilter"], order_by=[f"{view['orderByKey']} DESC"])
    assert [run.info.run_name for run in found] == ["source-only a→b s0"]


def test_a_board_is_a_run_per_content(plan, fresh, capsys):
    """Published again unchanged: nothing. With another table: another run, and the first stays."""
    write_record(plan.cells[0])
    folder = Path("reports/toy")
    folder.mkdir(parents=True)
    rows = {"oracle": {"miou": 65.19}, "source-only": {"miou": None}}
    (folder / "leaderboard.json").write_text(json.dumps(rows))
    (folder / "cells.csv").write_text(f"method,score\nsource-only,{plan.cells[0].score[:8]}\n")
    (folder / "notes.txt").write_text("mine")
    mirror = fresh()
    for arguments in (["track"], ["track", "--all"]):
        assert main(arguments) == 0
    assert "1 boards, 2 rows; 0 new" in capsys.readouterr().out
    (board,) = [run for run in mirror.client.search_runs(["1"]) if run.data.tags["xdseg.kind"] == "board"]
    assert board.data.metrics == {"board/oracle": 65.19}
    files = [file.path for file in mirror.client.list_artifacts(board.info.run_id)]
    assert files == ["cells.csv", "leaderboard.json", "tables"]
    (folder / "leaderboard.json").write_text(json.dumps(rows | {"dacs": {"miou": 70.0}}))
    assert main(["track"]) == 0
    assert "1 boards, 3 rows; 4 new" in capsys.readouterr().out


# --- following


def grow(folder: Path, some: list[str]) -> None:
    """Append lines as a run does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "curve.jsonl").open("a") as file:
        file.write("".join(some))


def points(mirror: Mirror, name: str) -> list[tuple[int, float]]:
    """(step, loss) that the store shows of a run, every one of them."""
    held = mirror.find(name.split("/")[0], "training", name)
    return sorted((m.step, m.value) for m in mirror.client.get_metric_history(held.run_id, "loss")) if held else []


def expected(columns: dict) -> list[tuple[int, float]]:
    """(step, loss) of a curve."""
    return [(point.step, point.values["loss"]) for point in recorded_points({"curve": columns}, Path("r"), start=0)[0]]


def receipt(record: dict) -> dict:
    """run.json of a run with such a record."""
    kept = {key: record[key] for key in ("settings", "model", "costs", "environment")}
    return kept | {"fingerprint": record["fingerprints"]["train"], "weights": record["digests"]["weights"]}


def test_a_run_grows_is_killed_resumed_and_recorded(plan, fresh):
    """Cut back to a saved step and repeated later: each point once, one run from its first point to its record."""
    run, mirror, said = plan.cells[0].run, fresh(), []
    follower = Follower(mirror, runs=plan.runs, recorded={}, say=said.append)
    whole = curve(10)
    written = lines(whole)
    grow(run.folder, written[:3])
    assert follower.look() == 1 and follower.look() == 0
    held = mirror.find("toy", "training", run.name)
    assert held.status == "RUNNING" and held.params["training.steps"] == "6"
    grow(run.folder, [*written[3:6], written[6][:10]])  # killed while it wrote
    follower.look()
    assert points(mirror, run.name) == expected(whole)[:6]

    later = curve(10, first=1000)  # resumed after step 8 (4 points): the rest again, at other times
    (run.folder / "curve.jsonl").write_text("".join(written[:4]))
    assert follower.look() == 0
    grow(run.folder, lines(later)[4:8])
    follower = Follower(mirror, runs=plan.runs, recorded={}, say=said.append)  # the follower was restarted too
    mirror.forget()
    follower.look()
    assert points(mirror, run.name) == expected(whole)[:8]

    grow(run.folder, lines(later)[8:])
    record = record_of(plan.cells[0], started=990)
    record["curve"] = {key: value[:4] + later[key][4:] if key != "losses" else value for key, value in whole.items()}
    (run.folder / "run.json").write_text(json.dumps(receipt(record)))
    assert follower.look() == 1
    path = write_record(plan.cells[0])
    path.write_text(json.dumps(record))
    assert follower.look() == 2, "its cell, and the record's word on its training"
    assert points(mirror, run.name) == expected(whole)
    mirror.forget()
    after = mirror.find("toy", "training", run.name)
    assert (after.run_id, after.status, after.end) == (held.run_id, "FINISHED", (START + 1050) * 1000)
    assert put_all(mirror) == [SAME, SAME] and said == []


def test_a_run_trained_anew_starts_a_new_curve(plan, fresh):
    """Its folder was deleted: equal losses at other times are another training."""
    run, mirror = plan.cells[0].run, fresh()
    follower = Follower(mirror, runs=plan.runs, recorded={}, say=print)
    grow(run.folder, lines(curve(5)))
    follower.look()
    shutil.rmtree(run.folder)
    grow(run.folder, lines(curve(2, first=9000)))
    follower.look()
    assert points(mirror, run.name) == expected(curve(2))
    assert in_sql(mirror)[0] == 1


def test_a_run_nobody_holds_is_shown_as_killed(plan, fresh):
    """No point for long and no process: KILLED, until it goes on. A process that holds the folder is believed."""
    import fcntl

    run, mirror = plan.cells[0].run, fresh()
    follower = Follower(mirror, runs=plan.runs, recorded={}, say=print)
    grow(run.folder, lines(curve(2)))
    lock = run.folder / ".lock"
    past = time.time() - KILLED_AFTER - 60
    os.utime(run.folder / "curve.jsonl", (past, past))
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        follower.look()
        assert mirror.find("toy", "training", run.name).status == "RUNNING"
    follower.look()
    mirror.forget()
    found = mirror.find("toy", "training", run.name)
    assert (found.status, found.end) == ("KILLED", (START + 6) * 1000)
    grow(run.folder, lines(curve(3))[2:])
    follower.look()
    mirror.forget()
    assert mirror.find("toy", "training", run.name).status == "RUNNING"


def test_a_run_of_other_settings_is_followed_too(plan, fresh):
    """What trains here is shown, whatever params.yaml asks for; its settings come with its receipt."""
    name, mirror, said = "other/dacs/x--y/s3-0123abcd", fresh(), []
    follower = Follower(mirror, runs=plan.runs, recorded={}, say=said.append)
    grow(Path("results") / name, lines(curve(2)))
    grow(Path("results/other/dacs/x--z/s3-0123abcd"), ["{}\n"])
    assert follower.look() == 1 and follower.look() == 0
    assert mirror.find("other", "training", name).name == "dacs x→y s3 · training"
    assert len(said) == 1 and "x--z/s3-0123abcd/curve.jsonl: no learning curve" in said[0]


# --- one writer, and what cannot be used


def holder(uri: str) -> subprocess.Popen:
    """Another process that writes to the store."""
    code = "import sys, time; from xdseg.tracking.store import writer\n"
    code += f"with writer({uri!r}): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_one_writer_at_a_time(plan, fresh, capsys):
    """The second is told who is first; one that was killed holds nothing, whatever its file says."""
    write_record(plan.cells[0])
    mirror = fresh()
    process = holder(mirror.uri)
    try:
        assert main(["track"]) == 2
        error = capsys.readouterr().err
        assert f"process {process.pid} on " in error and "writes to sqlite" in error and error.count("\n") == 1
    finally:
        process.kill()
        process.wait()
    lock = Path(mirror.uri.removeprefix("sqlite:///")).with_name(".mlflow.db.lock")
    assert str(process.pid) in lock.read_text()
    assert main(["track"]) == 0


def test_locks_of_two_stores_do_not_meet(tmp_path, monkeypatch):
    """Each file has its own; all servers share the folder's."""
    monkeypatch.chdir(tmp_path)
    both = writer(f"sqlite:///{tmp_path}/a.db"), writer("sqlite:///b.db")
    with both[0], both[1], writer("http://127.0.0.1:1"), pytest.raises(BadInput, match=r"writes to sqlite:///b\.db"):
        writer("sqlite:///b.db").__enter__()
    assert (tmp_path / ".b.db.lock").exists() and (tmp_path / "results/.track.lock").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["track"], "track: no record of the grid on toy; run snakemake first, or try --all"),
        (["track", "--all"], "no record in records/ or results/records/; run snakemake first"),
        (["track", "--until-idle", "1"], "only --follow waits"),
        (["track", "--follow", "--every", "0"], "--every 0: seconds"),
    ],
)
def test_nothing_to_show_and_bad_options(plan, capsys, arguments, message):
    """Exit code 2 and one line, and no store is made."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda record: record.pop("scores"), "scores: field required"),
        (lambda record: record.update(run=None), "a run's has run, digests, settings"),
        (lambda record: record.update(run="nonsense"), "no name of a run"),
        (lambda record: record["environment"].update(started="noon"), "'noon' is no time"),
        (lambda record: record["curve"]["step"].pop(), "curve: not columns of equal length"),
    ],
    ids=["scores", "run", "name", "time", "curve"],
)
def test_a_broken_record_stops_before_anything_is_written(plan, capsys, monkeypatch, spoil, message):
    """One line that names the file, exit code 2, and no store is touched."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_record(plan.cells[0])
    path = write_record(plan.cells[2])
    record = json.loads(path.read_text())
    spoil(record)
    path.write_text(json.dumps(record))
    assert main(["track"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert str(path) in error or "nonsense" in error
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize(
    "uri", ["http://user:secret@127.0.0.1:9", "postgresql://user:secret@127.0.0.1:9/mlflow"], ids=["http", "postgresql"]
)
def test_nobody_answers(plan, monkeypatch, capsys, uri):
    """Within seconds, not MLflow's minutes; the password stays out of the line."""
    write_record(plan.cells[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.monotonic()
    assert main(["track"]) == 2
    assert time.monotonic() - began < 10
    error = capsys.readouterr().err
    assert "127.0.0.1:9" in error and "nobody answers" in error and "MLFLOW_TRACKING_URI" in error
    assert "secret" not in error and error.count("\n") == 1
    assert shown(uri).endswith(("//127.0.0.1:9", "//127.0.0.1:9/mlflow"))


def test_a_file_that_is_no_store(plan, monkeypatch, capsys):
    """One line, and the file is left as it was."""
    write_record(plan.cells[0])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlflow.db").write_text("not a database, " * 100)
    assert main(["track"]) == 2
    error = capsys.readouterr().err
    assert "sqlite:///mlflow.db: " in error and "not a database" in error
    assert Path("mlflow.db").read_text() == "not a database, " * 100


def test_an_experiment_in_the_trash(plan, fresh, capsys):
    """MLflow keeps the name of what it has thrown away; the line says how to get it back."""
    write_record(plan.cells[0])
    mirror = fresh()
    assert main(["track"]) == 0
    mirror.client.delete_experiment(mirror.client.get_experiment_by_name("xdseg/toy 0.1.0").experiment_id)
    assert main(["track"]) == 2
    assert "mlflow experiments restore" in capsys.readouterr().err


def test_tracking_is_light_until_it_writes():
    """Reading what is to be shown imports neither mlflow nor torch."""
    code = (
        "import sys, xdseg.tracking.track; sys.exit(sorted({'mlflow', 'torch', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- processes


def run(*arguments: str) -> subprocess.Popen:
    """`xdseg` in a process of its own, where nothing says that it is tested."""
    hidden = ("PYTEST_CURRENT_TEST", "CI", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "GITHUB_ACTIONS")
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", CODE, *arguments], env=environment, **pipes)


@pytest.mark.slow
def test_from_nothing_without_telemetry(plan, monkeypatch):
    """A project's first `xdseg track` makes mlflow.db, says one line, and MLflow has no telemetry client."""
    write_record(plan.cells[0])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(
        sys.modules[__name__],
        "CODE",
        "import sys; from xdseg.cli import main; code = main(sys.argv[1:]); "
        "from mlflow.telemetry import get_telemetry_client; assert get_telemetry_client() is None; sys.exit(code)",
    )
    process = run("track")
    out, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")
    assert out.count("\n") == 1 and "1 trainings, 1 cells, 0 boards, 0 rows; 2 new" in out
    assert Path("mlflow.db").exists() and not list(Path().glob(".mlflow.db.*[0-9]"))


@pytest.mark.slow
def test_eight_readers_while_one_writes(plan, fresh):
    """No reader fails, none sees a point twice, and nothing is missing in the end."""
    for cell_ in plan.cells:
        write_record(cell_, points=80)
    mirror = fresh()
    reader = f"""
import sys, time
from xdseg.tracking.store import open_store
client = open_store({mirror.uri!r})
print("ready", flush=True)
looks, end = 0, None
while end is None or time.monotonic() < end:
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            if "loss" in run.data.metrics:
                steps = [m.step for m in client.get_metric_history(run.info.run_id, "loss")]
                assert len(steps) == len(set(steps)), steps
                looks += 1
                end = end or time.monotonic() + 4
assert looks
"""
    readers = [
        subprocess.Popen([sys.executable, "-c", reader], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    try:
        assert [process.stdout.readline() for process in readers] == ["ready\n"] * 8
        put_all(mirror)
        errors = [process.communicate(timeout=300)[1] for process in readers]
    finally:
        for process in readers:
            process.kill()
    assert [process.returncode for process in readers] == [0] * 8, errors
    clean = fresh()
    put_all(clean)
    assert visible(mirror) == visible(clean) and in_sql(mirror) == in_sql(clean)


@pytest.mark.slow
def test_24_growing_runs_with_one_follower(plan, fresh):
    """Cut back, repeated, interrupted by a killed follower: each point of each run once; it ends with exit code 0."""
    mirror = fresh()
    names = [f"toy/m{n % 6}/a--b/s{n}-{n:08x}" for n in range(24)]
    whole = [curve(40, loss=1 + n) for n in range(24)]
    folders = [Path("results") / name for name in names]
    process = run("track", "--follow", "--every", "0.2")
    assert "0 new" in process.stdout.readline()
    for step in range(40):
        for n, folder in enumerate(folders):
            if step == 10 + n:  # killed: back to three points earlier, which are trained again
                kept = lines(whole[n])[: step - 3]
                (folder / "curve.new").write_text("".join(kept))
                (folder / "curve.new").replace(folder / "curve.jsonl")
                grow(folder, lines(curve(40, first=500, loss=1 + n))[step - 3 : step])
            later = step >= 10 + n
            grow(folder, [lines(curve(40, first=500 if later else 5, loss=1 + n))[step]])
        if step == 20:
            process.kill()
            process.wait()
            process = run("track", "--follow", "--every", "0.2")
        time.sleep(0.1)
    until = time.monotonic() + 90
    while time.monotonic() < until:
        mirror.forget()
        if all(len(points(mirror, name)) == 40 for name in names):
            break
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "") and out.endswith("stopped\n")
    mirror.forget()
    for name, columns in zip(names, whole, strict=True):
        assert points(mirror, name) == expected(columns)
    assert in_sql(mirror)[:2] == (24, 24 * 40 * 4)


@pytest.mark.slow
def test_through_a_server_that_goes_and_comes_back(plan, fresh, tmp_path, monkeypatch):
    """A team's server gets the same as a file; a follower outlives its absence and loses nothing."""
    whole, local = curve(6), fresh()
    for cell_ in plan.cells:
        write_record(cell_, points=100)
    for wanted in wanted_runs(load_all(all_records()), Inputs(load())):
        local.put(wanted)
    remote, port = fresh(), free_port()
    uri = f"http://127.0.0.1:{port}"
    server = serve(remote.uri, port, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    try:
        assert main(["track"]) == 0 and main(["track"]) == 0
        assert visible(remote) == visible(local) and in_sql(remote) == in_sql(local)
        folder = Path("results/toy/m/a--b/s0-00000000")
        process = run("track", "--follow", "--every", "0.5")
        assert "0 new" in process.stdout.readline() and "following" in process.stdout.readline()
        grow(folder, lines(whole)[:3])
        wait_for(lambda: len(points(remote, "toy/m/a--b/s0-00000000")) == 3, remote)
        stop(server)
        grow(folder, lines(whole)[3:])
        assert "trying again" in process.stdout.readline()
        server = serve(remote.uri, port, tmp_path)
        assert "answers again" in process.stdout.readline()
        wait_for(lambda: len(points(remote, "toy/m/a--b/s0-00000000")) == 6, remote)
        process.terminate()
        assert process.wait(timeout=300) == 0
        assert points(remote, "toy/m/a--b/s0-00000000") == expected(whole)
    finally:
        stop(server)


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(uri: str, port: int, folder: Path) -> subprocess.Popen:
    """An MLflow server, when it answers."""
    import requests

    options = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    log = (folder / "server.log").open("a")
    command = [sys.executable, "-m", "mlflow", "server", *options]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    until = time.monotonic() + 300  # on a busy machine MLflow alone takes two minutes to start
    while time.monotonic() < until and process.poll() is None:
        try:
            requests.get(f"http://127.0.0.1:{port}/health", timeout=10)
            return process
        except requests.RequestException:
            time.sleep(0.5)
    stop(process)
    raise AssertionError((folder / "server.log").read_text())


def stop(server: subprocess.Popen) -> None:
    """The server and its workers, which would outlive it."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=300)


def wait_for(done, mirror: Mirror) -> None:
    """Until something is so in the store."""
    until = time.monotonic() + 300  # as long as a server may take to start
    while time.monotonic() < until:
        mirror.forget()
        if done():
            return
        time.sleep(0.25)
    raise AssertionError("not within five minutes")
