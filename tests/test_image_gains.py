"""Intervals over images on boards: by hand, paired, stored or drawn anew, and where they are shown."""

import csv
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import edit_suite_file, small_config, write_suite
from PIL import Image
from test_board import CLASSES, cell, record

from xdseg.cells import Cell
from xdseg.cli import main
from xdseg.data.locks import open_lock
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import save_confusion, write_predictions
from xdseg.evaluation.summary import scores_of
from xdseg.files import file_digest, write_json
from xdseg.inspection.layout import strangers_in_predicted
from xdseg.params import load, parse
from xdseg.records import confusion_of, replicates_of
from xdseg.reporting.about import About
from xdseg.reporting.board import build_board
from xdseg.reporting.replicates import Basis, draw, of_record, read, store
from xdseg.reporting.statistics.bootstrap import Replicates, Resampling, recordings
from xdseg.reporting.statistics.images import over_images
from xdseg.settings.evaluation import Scoring
from xdseg.settings.suites import FolderSuite, GeneratedSuite, PublicSuite
from xdseg.stages.board import board as board_stage
from xdseg.stages.board import publish
from xdseg.stages.predict import PREDICTIONS, RECEIPT
from xdseg.stages.record import record as record_stage
from xdseg.stages.score import score
from xdseg.workflow import Plan

PEERS = {"new": {"host": "plain"}, "twin": {"host": "plain"}, "plain": {}}
Key = tuple[str, str, int]  # method, pair, seed


def counts(images: int, *, seed: int = 0, right: int = 50) -> np.ndarray:
    """Confusion (N, 2, 2) of a method that is right on up to so many more pixels of either class."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 50, (images, 2, 2)) + np.eye(2, dtype=int) * rng.integers(0, right, (images, 1, 1))


def put(folder: Path, key: Key, per_image: np.ndarray, *, names: Sequence[str] | None = None) -> Path:
    """A record whose scores are those of its per-image confusion, which lies beside it."""
    method, pair, seed = key
    names = names or [f"drive{at // 2:02}_{at}" for at in range(len(per_image))]
    path = folder / f"{method}-{pair.replace('->', '--')}-s{seed}.json"
    save_confusion(folder / "scratch", names, per_image)
    confusion_of(path).write_bytes((folder / "scratch").read_bytes())
    scores = scores_of(per_image, classes=CLASSES, kept=(0, 1), scoring=Scoring())
    about = {
        "scores": scores,
        "confusion": {"name": confusion_of(path).name, "sha256": file_digest(confusion_of(path))},
    }
    write_json(path, record(method, pair, 0.5, seed=seed) | about)
    return path


def board(
    out: Path,
    paths: dict[Key, Path],
    *,
    pattern: str | None = None,
    order: int | None = None,
    missing: Sequence[Key] = (),
) -> Path:
    """The board of these records and what lies beside them."""
    expected = [cell(method, pair, seed) for method, pair, seed in (*paths, *missing)]
    records = {key: json.loads(path.read_text()) for key, path in paths.items()}
    drawn = {
        (m, *pair.split("->"), s): of_record(paths[m, pair, s], records[m, pair, s], pattern) for m, pair, s in paths
    }
    shown = random.Random(order).sample([*records.values()], len(records)) if order else [*records.values()]
    about = About(peers=PEERS)
    build_board(suite="vessels", classes=CLASSES, expected=expected, records=shown, out=out, about=about, drawn=drawn)
    return out


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(newline="")))


@pytest.fixture
def paths(tmp_path: Path) -> dict[Key, Path]:
    """`new`, `twin` and `plain` on 40 images of b, two seeds; `twin` predicts what `plain` does. And on 10 of c."""
    folder = tmp_path / "records"
    folder.mkdir()
    made = {("plain", "a->b", seed): counts(40, seed=seed) for seed in (0, 1)}
    made |= {("twin", "a->b", seed): made["plain", "a->b", seed] for seed in (0, 1)}
    made |= {("new", "a->b", seed): counts(40, seed=seed, right=200) for seed in (0, 1)}
    made |= {(method, "a->c", seed): counts(10, seed=seed) for method in ("plain", "twin", "new") for seed in (0, 1)}
    return {key: put(folder, key, per_image) for key, per_image in made.items()}


def in_a_loop(per_image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """mIoU of each draw, image by image, rounded as it is stored."""
    found = []
    for times in weights:
        (a, b), (c, d) = (per_image * times[:, None, None]).sum(axis=0)
        found.append((a / (a + b + c) + d / (d + b + c)) / 2)
    return np.array(found, np.float32).astype(float)


def ends(values: np.ndarray, clusters: int) -> list[str]:
    found = over_images(values, clusters)
    return [f"{100 * found.low:.2f}", f"{100 * found.high:.2f}"]


def test_intervals_of_cells_and_of_paired_gains(paths, tmp_path):
    """Replicates made here in a loop, method less host draw by draw, over the mean of both seeds."""
    out = board(tmp_path / "board", paths)
    names = tuple(f"drive{at // 2:02}_{at}" for at in range(40))
    draws = Resampling(names).weights
    order = np.argsort(names)  # a cluster's place is that of its name
    drawn = {
        (method, seed): in_a_loop(counts(40, seed=seed, right=right)[order], draws)
        for method, right in (("plain", 50), ("new", 200))
        for seed in (0, 1)
    }
    cells = {(line["method"], line["target"], int(line["seed"])): line for line in table(out / "cells.csv")}
    for (method, seed), values in drawn.items():
        line = cells[method, "b", seed]
        assert [line["image_low"], line["image_high"]] == ends(values, 40)
        assert line["image_interval"] == "images, bootstrap of 40 images"
    gains = {(line["method"], line["target"]): line for line in table(out / "image_gains.csv")}
    difference = sum(drawn["new", seed] - drawn["plain", seed] for seed in (0, 1)) / 2
    line = gains["new", "b"]
    assert [line["image_low"], line["image_high"]] == ends(difference, 40) and line["seeds"] == "0 1"
    wide = over_images(drawn["new", 0], 40).half + over_images(drawn["plain", 0], 40).half
    assert over_images(difference, 40).half < wide, "paired: narrower than the two together"
    contents = json.loads((out / "leaderboard.json").read_text())["new"]
    assert contents["image_gains"] == {"a->b": [float(end) for end in ends(difference, 40)], "a->c": None}
    assert contents["image_intervals"]["a->b"]["1"] == [float(end) for end in ends(drawn["new", 1], 40)]


def test_equal_predictions_differ_by_exactly_nothing(paths, tmp_path):
    """`twin` has `plain`'s confusion: an interval from 0 to 0, however wide either one's own is."""
    out = board(tmp_path / "board", paths)
    (line,) = [line for line in table(out / "image_gains.csv") if (line["method"], line["target"]) == ("twin", "b")]
    assert (line["gain"], line["image_low"], line["image_high"]) == ("0.00", "0.00", "0.00")
    (own,) = [
        line
        for line in table(out / "cells.csv")
        if (line["method"], line["target"], line["seed"]) == ("twin", "b", "0")
    ]
    assert float(own["image_high"]) - float(own["image_low"]) > 1


def test_few_images_say_why_there_is_no_interval(paths, tmp_path):
    """Ten of c; as 20 recordings of two images b has one, as a single recording none."""
    out = board(tmp_path / "1", paths)
    lines = {(line["method"], line["target"]): line for line in table(out / "image_gains.csv")}
    assert (
        lines["new", "c"]["image_interval"] == "none: 10 images, fewer than 20" and lines["new", "c"]["images"] == "10"
    )
    assert {line["image_interval"] for line in table(out / "cells.csv") if line["target"] == "c"} == {
        "none: 10 images, fewer than 20"
    }
    clustered = {
        line["target"]: line for line in table(board(tmp_path / "2", paths, pattern=r"^(drive\d\d)") / "cells.csv")
    }
    assert clustered["b"]["image_interval"] == "images, bootstrap of 20 recordings"
    assert clustered["c"]["image_interval"] == "none: 5 recordings, fewer than 20"
    alone = {line["target"]: line for line in table(board(tmp_path / "3", paths, pattern=r"^(drive)") / "cells.csv")}
    assert alone["b"]["image_interval"] == "none: 1 recording, fewer than 20"


def test_order_of_images_changes_nothing(paths, tmp_path):
    """`new` was scored on the same images in another order: other bytes of its confusion, the same of the board."""
    before = board(tmp_path / "1", paths)
    order = np.random.default_rng(4).permutation(40)
    names = [f"drive{at // 2:02}_{at}" for at in order]
    for seed in (0, 1):
        put(
            paths["new", "a->b", seed].parent,
            ("new", "a->b", seed),
            counts(40, seed=seed, right=200)[order],
            names=names,
        )
    after = board(tmp_path / "2", paths)
    for name in ("cells.csv", "image_gains.csv", "leaderboard.md", "leaderboard.json"):
        assert (before / name).read_bytes() == (after / name).read_bytes(), name


def test_other_images_are_not_paired(paths, tmp_path):
    """One image of `plain` has another name: its replicates are of other draws."""
    names = [f"drive{at // 2:02}_{at}" for at in range(39)] + ["stranger"]
    put(paths["plain", "a->b", 1].parent, ("plain", "a->b", 1), counts(40, seed=1), names=names)
    lines = {(line["method"], line["target"]): line for line in table(board(tmp_path / "1", paths) / "image_gains.csv")}
    assert lines["new", "b"]["image_interval"] == "none: the two were scored on other images"


def test_boards_of_stored_and_of_drawn_replicates_are_the_same_bytes(paths, tmp_path):
    """Records alone; with stored replicates beside half of them, beside all; and shuffled: every file is equal."""
    whole = {path.name: path.read_bytes() for path in board(tmp_path / "drawn", paths).iterdir()}
    for part in (slice(0, None, 2), slice(None)):
        for path in [*paths.values()][part]:
            store(replicates_of(path), confusion_of(path), Basis.of(json.loads(path.read_text()), None))
        again = board(tmp_path / str(part), paths, order=3)
        assert {path.name: path.read_bytes() for path in again.iterdir()} == whole


def test_what_is_stored_is_what_would_be_drawn(paths):
    """To the last bit; and what belongs to another basis, or is damaged, is drawn anew."""
    path = paths["new", "a->b", 0]
    contents = json.loads(path.read_text())
    fresh = of_record(path, contents, None)
    file, basis = replicates_of(path), Basis.of(contents, None)
    store(file, confusion_of(path), basis)
    kept, bytes_ = read(file, basis), file.read_bytes()
    assert kept == fresh and kept.values.tobytes() == fresh.values.tobytes() and len(fresh.values) == 2000
    assert kept.values.dtype == np.float32 and len(bytes_) < 8500
    confusion_of(path).unlink()
    assert of_record(path, contents, None).values.tobytes() == fresh.values.tobytes(), "read, not drawn"
    others = [Basis.of(contents, r"^(drive\d\d)"), Basis(basis.confusion, CLASSES, CLASSES[:1])]
    others += [Basis("0" * 64, CLASSES, CLASSES), Basis(basis.confusion, CLASSES, CLASSES, "count")]
    assert [read(file, other) for other in others] == [None] * 4
    for damaged in (bytes_[:-1], bytes_[:-1] + b"x", b"", b"{}\n", b"[]\n"):
        file.write_bytes(damaged)
        assert read(file, basis) is None
    assert of_record(path, contents, None) is None, "there is nothing to draw from either"


def test_a_confusion_that_is_not_the_records_is_refused(paths):
    """Its interval would be another cell's."""
    path = paths["new", "a->b", 0]
    confusion_of(path).write_bytes(confusion_of(paths["plain", "a->b", 0]).read_bytes())
    with pytest.raises(BadInput, match=r"new-a--b-s0.npz: not the confusion that .*s0.json names; restore it"):
        of_record(path, json.loads(path.read_text()), None)


def test_classes_and_rows_of_the_score_are_those_of_the_replicates():
    """Only class 1 is kept: its IoU with pixels of the others ignored, or counted as errors, in 25 equal images."""
    per_image = np.tile([[[90, 10], [20, 30]]], (25, 1, 1))
    names = [str(at) for at in range(25)]
    ignored, counted = (
        draw(names, per_image, Basis("0" * 64, CLASSES, CLASSES[1:], outside)).values for outside in ("ignore", "count")
    )
    assert set(ignored.tolist()) == {np.float32(30 / 50)} and set(counted.tolist()) == {np.float32(30 / 60)}


def test_pages_show_the_intervals_and_what_they_mean(paths, tmp_path):
    """Both pages have a line per test set; the card has the interval, what was drawn, and the paired gain."""
    out = board(tmp_path / "board", paths)
    markdown, page = ((out / name).read_text() for name in ("leaderboard.md", "index.html"))
    half = {name: _median_half(out / name, "b") for name in ("cells.csv", "image_gains.csv")}
    assert f"| b | 40 | 40 images | {half['cells.csv']} | {half['image_gains.csv']} |  |" in markdown
    assert "| c | 10 | 10 images |  |  | 10 images, fewer than 20 |" in markdown
    assert "beyond images" in markdown and "| 1 up, 0 down of 1 |" in markdown and "| 0 up, 0 down of 1 |" in markdown
    for text in (markdown, page):
        assert "It says nothing of other seeds" in text
    cards = json.loads(page.split('<script type="application/json" id="cards">')[1].split("</script>")[0])
    card = cards["cards"]["new/a--b"]
    said = {part["title"]: dict(row[:2] for row in part["rows"]) for part in cards["sections"]}
    (line,) = [
        line for line in table(out / "cells.csv") if (line["method"], line["target"], line["seed"]) == ("new", "b", "0")
    ]
    rows = dict(row[:2] for row in cards["sections"][card["cells"][0]["sections"][0]]["rows"])
    assert rows["95 % over images"] == f"{line['image_low']} to {line['image_high']}"
    sets = [dict(part["rows"]) for part in cards["sections"] if part["title"] == "Test set"]
    assert [one["drawn"] for one in sets] == [
        f"{number} images, each by itself: no recordings are told" for number in (40, 10)
    ]
    assert sets[0]["replicates"] == "2,000" and "replicates" not in sets[1], "once a target"
    assert "not of seeds" in said["Test set"]["uncertainty"]
    gain = dict(cards["sections"][card["gain"]]["rows"])
    assert gain["gain on this pair"].endswith("(seeds 0, 1)") and " to +" in gain["95 % over images"]
    assert cards["cards"]["plain/a--b"].get("gain") is None, "it names no row"


def _median_half(path: Path, target: str) -> str:
    halves = sorted(
        (float(line["image_high"]) - float(line["image_low"])) / 2 for line in table(path) if line["target"] == target
    )
    middle = len(halves) // 2
    return f"{(halves[middle] + halves[~middle]) / 2:.2f}"


def test_replicates_go_from_the_score_to_the_record_and_the_board(data, tmp_path, monkeypatch):
    """`score` draws and stores, `record` carries over, `publish` commits; older records have none, and no need."""
    config = _project(data, tmp_path, monkeypatch)
    plan = Plan(parse(config))
    (made,) = plan.cells
    _predict(made, data)
    score(made.score_path, plan.context)
    path = Path(plan.records[0])
    record_stage(path, plan.context)
    contents = json.loads(path.read_text())
    assert list(strangers_in_predicted(made.folder)) == [], "`xdseg clean` knows the file for the workflow's"
    stored = read(replicates_of(path), Basis.of(contents, r"^(\d\d)"))
    assert (stored.clusters, stored.unit, stored.images, len(stored.values)) == (48, "recordings", 48, 2000)
    board_stage(Path(plan.board), parse(config))
    publish(Path(plan.board), parse(config))
    committed = Path("records") / made.record_name
    assert replicates_of(committed).read_bytes() == replicates_of(path).read_bytes()
    shown = {file.name: file.read_bytes() for file in Path("reports/toy").iterdir()}
    assert "bootstrap of 48 recordings" in shown["cells.csv"].decode()
    shutil.rmtree("results")  # a clone, of before replicates were stored
    replicates_of(committed).unlink()
    board_stage(Path(plan.board), parse(config))
    assert all((Path(plan.board) / name).read_bytes() == contents for name, contents in shown.items())
    config["suites"]["toy"]["groups"]["b"] = r"^(\d)"
    again = Plan(parse(config))
    assert again.board != plan.board and again.records == [str(committed)], "another board of the same records"


def _project(data: Path, folder: Path, monkeypatch) -> dict:
    """One cell, whose 48 images of b are as many recordings, as the settings say."""
    write_suite(data, "toy", val=48)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    config = small_config(methods=["source-only"], pairs=["a->b"])
    config["suites"]["toy"]["groups"] = {"b": r"^(\d\d)"}
    Path("params.yaml").write_text(json.dumps(config))
    assert main(["prepare", "toy"]) == 0
    return config


def _predict(made: Cell, data: Path) -> None:
    """What training and prediction leave behind: receipts, and predictions that miss one row of every second image."""
    run = {"fingerprint": made.run.fingerprint, "costs": {}, "environment": {}, "model": {"parameters": 1}}
    write_json(made.run.folder / "run.json", run | {"settings": {}, "weights": "0" * 64})
    target = {"seconds": 1.0, "sha256": "0" * 64}
    write_json(Path(Plan(load()).predictions[str(made.run.folder)]), {"targets": {made.pair.target: target}})
    names = (data / "toy/b/val.txt").read_text().split()
    labels = [np.array(Image.open(data / f"toy/b/labels/{name}.png")) % 255 for name in names]
    for label in labels[::2]:
        label[-1] = 1
    write_predictions(made.folder / PREDICTIONS, zip(names, labels, strict=True))
    written = {"fingerprint": made.predict, "sha256": file_digest(made.folder / PREDICTIONS)}
    write_json(made.folder / RECEIPT, target | written)


def test_who_says_what_a_recording_is(project, data):
    """params.yaml before the lock, which has suite.json's; a public data set's reader; of generated scenes nobody."""
    entries = {"a": {"train": 4, "val": 2, "groups": r"^(\d)"}, "b": {"train": 4, "val": 2}}
    edit_suite_file(data / "toy", domains=entries)
    assert main(["prepare", "toy"]) == 0
    folder = FolderSuite(kind="folder", root="toy")
    assert [open_lock("toy", folder).recordings(domain) for domain in "ab"] == [r"^(\d)", None]
    said = folder.model_copy(update={"groups": {"a": r"^(..)", "b": r"^(...)"}})
    assert [open_lock("toy", said).recordings(domain) for domain in "ab"] == [r"^(..)", r"^(...)"]
    cities = PublicSuite(kind="public", classes="cityscapes", domains={"c": {"dataset": "cityscapes"}})
    assert recordings(["ulm_000001_000019"], open_lock("x", cities).recordings("c")) == ("ulm_000001",)
    assert open_lock("streetworld", GeneratedSuite(kind="streetworld")).recordings("night") is None


def test_a_board_without_confusions_says_nothing_of_images(tmp_path):
    """No column, no section, a table that is its header; of a cell that lacks one on another board, why."""
    keys = [("plain", "a->b", 0), ("new", "a->b", 0)]
    expected, records = [cell(*key) for key in keys], [record(m, pair, 0.5, seed=seed) for m, pair, seed in keys]
    shared = {"suite": "vessels", "classes": CLASSES, "expected": expected, "records": records}
    build_board(**shared, out=tmp_path / "1", about=About(peers=PEERS))
    assert len(table(tmp_path / "1/image_gains.csv")) == 0
    for name in ("cells.csv", "leaderboard.md", "leaderboard.json"):
        assert "image_" not in (tmp_path / "1" / name).read_text()
    assert "Test sets" not in (tmp_path / "1/index.html").read_text()
    one = Replicates(30, "images", 30, "d", np.full(2000, 0.5, np.float32))
    build_board(**shared, out=tmp_path / "2", about=About(peers=PEERS), drawn={("plain", "a", "b", 0): one})
    assert [line["image_interval"] for line in table(tmp_path / "2/cells.csv")] == [
        "images, bootstrap of 30 images",
        "none: no per-image confusion",
    ]
    assert table(tmp_path / "2/image_gains.csv")[0]["image_interval"] == "none: no per-image confusion"
