"""Boards made from hand-written records: exact tables, honest means, equal bytes."""

import json
import random
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from xdseg.errors import BadInput
from xdseg.reporting.board import build_board
from xdseg.reporting.records import load_record
from xdseg.reporting.text import escaped

CLASSES = ("background", "vessel")
TABLES = {"leaderboard.csv", "leaderboard.json", "leaderboard.md", "metrics.json"}
PAIRED = {"class_gains.csv", "gains.csv", "image_gains.csv", "ranks.csv", "leaderboard.tex"}
FIGURES = {f"{name}.{suffix}" for name in ("gains", "heatmap", "ranks") for suffix in ("png", "svg")}
FILES = TABLES | PAIRED | FIGURES | {"cells.csv", "costs.csv", "index.html"}


def cell(method: str, pair: str, seed: int = 0, setting: str = "source") -> dict:
    source, target = pair.split("->")
    return {"method": method, "setting": setting, "source": source, "target": target, "seed": seed}


def record(method: str, pair: str, vessel: float | None, *, seed: int = 0, background: float = 0.9, **changes) -> dict:
    """A record whose mIoU is the mean of the two IoUs, or the background's where there is no vessel."""
    wanted = cell(method, pair, seed)
    miou = background if vessel is None else (background + vessel) / 2
    return wanted | {
        "schema": 1,
        "origin": "run",
        "suite": "vessels",
        "source": wanted["source"].split("+"),
        "protocol": {"name": "tiny", "eval_split": "val", "checkpoint": "last step", "scoring": {"absent": "drop"}},
        "benchmark_version": "0.1.0",
        "classes": list(CLASSES),
        "fingerprints": {"train": "a1" * 32, "predict": "b2" * 32, "score": "c3" * 32},
        "scores": {
            "miou": miou,
            "pixel_accuracy": 0.95,
            "iou": {"background": background, "vessel": vessel},
            "kept": list(CLASSES),
            "images": 10,
            "confusion": [[9, 1], [0, 0]],
        },
        "model": {"parameters": 12_345_678, "trainable": 12_345_678},
        "costs": {"train_seconds": 90.0, "predict_seconds": 3.0, "images_per_second": 21.0, "peak_memory_mb": None},
        "environment": {
            "device": "cpu",
            "precision": "bf16",
            "commit": "abc",
            "dirty": False,
            "started": "2026-01-02T03:04:05Z",
            "torch": "2.15.0",
        },
        "settings": {},
        **changes,
    }


def entered(method: str, pair: str, vessel: float, **changes) -> dict:
    nothing = {"model": None, "costs": None, "environment": None, "note": "entered from prediction files"}
    prints = {"train": None, "predict": None, "score": "d4" * 32}
    return record(method, pair, vessel, origin="predictions", fingerprints=prints, **nothing | changes)


# `plain` has both pairs, `fancy` lacks one of its seeds on b->a; the grid names fancy first
EXPECTED = [
    cell("fancy", "a->b", 0),
    cell("fancy", "a->b", 1),
    cell("fancy", "b->a", 0),
    cell("fancy", "b->a", 1),
    cell("plain", "a->b", 0),
    cell("plain", "b->a", 0),
]
RECORDS = [
    record("fancy", "a->b", 0.9, seed=0),
    record("fancy", "a->b", 0.7, seed=1),
    record("fancy", "b->a", 0.8, seed=1),
    record("plain", "a->b", 0.5),
    record("plain", "b->a", 0.3),
]


def build(out: Path, *, expected=EXPECTED, records=RECORDS, suite="vessels", classes=CLASSES) -> Path:
    build_board(suite=suite, classes=classes, expected=expected, records=records, out=out)
    return out


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")


def test_cells_are_listed_in_full(tmp_path):
    """Every wanted cell has its line, in the grid's order of methods; a missing one has no numbers."""
    out = build(tmp_path / "board", records=[*RECORDS[:3], record("plain", "a->b", None), RECORDS[4]])
    made = "10,run,a1a1a1a1,b2b2b2b2,c3c3c3c3,tiny,0.1.0"
    assert lines(out / "cells.csv") == [
        "method,setting,source,target,seed,status,miou,pixel_accuracy,iou_background,iou_vessel,"
        "images,origin,run,predict,score,protocol,benchmark_version",
        f"fancy,source,a,b,0,ok,90.00,95.00,90.00,90.00,{made}",
        f"fancy,source,a,b,1,ok,80.00,95.00,90.00,70.00,{made}",
        "fancy,source,b,a,0,missing,,,,,,,,,,,",
        f"fancy,source,b,a,1,ok,85.00,95.00,90.00,80.00,{made}",
        f"plain,source,a,b,0,ok,90.00,95.00,90.00,,{made}",
        f"plain,source,b,a,0,ok,60.00,95.00,90.00,30.00,{made}",
        "",
    ]
    assert {path.name for path in out.iterdir()} == FILES, "nothing half-written is left"


def test_an_incomplete_row_has_no_mean_and_comes_last(tmp_path):
    """Fancy leads on every cell it has, but lacks one: no mean, one pair of two. Plain: (70 + 60) / 2."""
    assert lines(build(tmp_path) / "leaderboard.csv") == [
        "method,setting,miou,iou_vessel,pairs,seeds,parameters_millions,origin",
        "plain,source,65.00,40.00,2/2,1,12.35,run",
        "fancy,source,,,1/2,1-2,12.35,run",
        "",
    ]


def test_seeds_are_averaged_within_a_pair_first(tmp_path):
    """a->b has 90 and 80, b->a only 70: the mean over pairs is (85 + 70) / 2, not 240 / 3."""
    expected = [cell("m", "a->b", 0), cell("m", "a->b", 1), cell("m", "b->a", 0)]
    records = [record("m", "a->b", 0.9), record("m", "a->b", 0.7, seed=1), record("m", "b->a", 0.5)]
    out = build(tmp_path, expected=expected, records=records)
    assert lines(out / "leaderboard.csv")[1] == "m,source,77.50,65.00,2/2,1-2,12.35,run"
    assert json.loads((out / "leaderboard.json").read_text())["m"]["pairs"] == {"a->b": 85.0, "b->a": 70.0}


def test_seeds_are_counted_pair_by_pair(tmp_path):
    """Three seeds on a->b, one on b->a: 1 to 3, not 3, in every table and on both pages; of `one` there is one each."""
    wanted = [cell("m", "a->b", seed) for seed in (0, 1, 2)] + [cell(name, pair) for name, pair in
              (("m", "b->a"), ("one", "a->b"), ("one", "b->a"))]  # fmt: skip
    records = [record(one["method"], f"{one['source']}->{one['target']}", 0.5, seed=one["seed"]) for one in wanted]
    out = build(tmp_path, expected=wanted, records=records)
    assert [line.split(",")[4:6] for line in lines(out / "leaderboard.csv")[1:-1]] == [["2/2", "1-3"], ["2/2", "1"]]
    assert "| m | source | 70.00 | 50.00 | 2/2 | 1–3 | 12.35 |" in lines(out / "leaderboard.md")
    rows = json.loads((out / "leaderboard.json").read_text())
    assert (rows["m"]["seeds"], rows["one"]["seeds"]) == ("1-3", "1")
    assert rows["m"]["seeds_by_pair"] == {"a->b": 3, "b->a": 1}
    page = (out / "index.html").read_text()
    assert "<dt>seeds a pair</dt><dd>1–3</dd>" in page and '<td class="n seeds">1–3</td>' in page


def test_a_mean_over_seeds_has_its_interval_on_a_board_of_one_pair(tmp_path):
    """70, 72 and 74: 72 ± 4.303 × 2 / √3 = 4.97; of one seed there is none. Two pairs have no such column."""
    wanted = [cell("m", "a->b", seed) for seed in (0, 1, 2)] + [cell("one", "a->b")]
    records = [record("m", "a->b", 0.5 + 0.04 * seed, seed=seed) for seed in (0, 1, 2)] + [record("one", "a->b", 0.5)]
    out = build(tmp_path / "1", expected=wanted, records=records)
    assert lines(out / "leaderboard.csv")[:3] == [
        "method,setting,miou,miou_low,miou_high,iou_vessel,pairs,seeds,parameters_millions,origin",
        "m,source,72.00,67.03,76.97,54.00,1/1,3,12.35,run",
        "one,source,70.00,,,50.00,1/1,1,12.35,run",
    ]
    rows = json.loads((out / "leaderboard.json").read_text())
    assert rows["m"]["miou_interval"] == [67.03, 76.97] and rows["one"]["miou_interval"] is None
    assert "| m | source | 72.00 | 4.97 | 54.00 | 1/1 | 3 | 12.35 |" in lines(out / "leaderboard.md")
    page = (out / "index.html").read_text()
    assert '<b class="big">72.00</b> <small>± 4.97</small>' in page
    for text in (page, (out / "leaderboard.md").read_text()):
        assert "± is half of the 95 % interval of the mean over a row's seeds" in text.replace("&#39;", "'")
    others = build(tmp_path / "2")
    assert "miou_low" not in (others / "leaderboard.csv").read_text()
    assert "±" not in (others / "leaderboard.md").read_text()


def test_rows_are_sorted_by_their_mean(tmp_path):
    """Highest first, whatever the grid's order."""
    vessel = {"low": 0.1, "high": 0.8, "middle": 0.4}
    expected = [cell(method, "a->b") for method in vessel]
    records = [record(method, "a->b", value) for method, value in vessel.items()]
    rows = lines(build(tmp_path, expected=expected, records=records) / "leaderboard.csv")[1:-1]
    assert [row.split(",")[0] for row in rows] == ["high", "middle", "low"]


def test_a_method_that_cannot_have_a_pair_has_no_mean(tmp_path):
    """The grid does not want `tuned` on b->a; its mean over a->b alone would not compare with plain's."""
    out = build(
        tmp_path,
        expected=[*EXPECTED[4:], cell("tuned", "a->b")],
        records=[*RECORDS[3:], record("tuned", "a->b", 0.9)],
    )
    assert lines(out / "leaderboard.csv")[2] == "tuned,source,,,1/2,1,12.35,run"
    assert "- tuned: b → a (no such cell)" in lines(out / "leaderboard.md")


def test_a_cell_without_a_scored_pixel_gives_no_mean(tmp_path):
    """Scored, but of nothing: the cell is there, its mIoU is empty, and so is the row's mean."""
    hollow = deepcopy(RECORDS[4])
    hollow["scores"] |= {"miou": None, "pixel_accuracy": None, "iou": {"background": None, "vessel": None}}
    out = build(tmp_path, expected=EXPECTED[4:], records=[RECORDS[3], hollow])
    assert lines(out / "cells.csv")[2].startswith("plain,source,b,a,0,ok,,,,,10,")
    assert lines(out / "leaderboard.csv")[1].startswith("plain,source,,,1/2,")
    assert "- plain: b → a (seed 0: no pixel to score)" in lines(out / "leaderboard.md")


def test_more_than_two_classes_show_no_last_class(tmp_path):
    """Beside a mean of three classes, the last one's IoU is no headline."""
    records = [record("plain", "a->b", 0.5, classes=["x", "y", "z"])]
    out = build(tmp_path, expected=[cell("plain", "a->b")], records=records, classes=("x", "y", "z"))
    assert lines(out / "leaderboard.csv")[0] == "method,setting,miou,pairs,seeds,parameters_millions,origin"
    assert "iou_z" not in (out / "leaderboard.json").read_text()


def test_metrics_are_one_number_a_method(tmp_path):
    """The mean of the table's row, or null where it has none: (70 + 60) / 2 is 65, fancy lacks a cell."""
    assert (build(tmp_path) / "metrics.json").read_text() == '{\n "fancy": null,\n "plain": 65.0\n}\n'


def test_json_of_the_rows(tmp_path):
    """Percentages as numbers, nothing as null, keys sorted, so that a diff shows what changed."""
    text = (build(tmp_path) / "leaderboard.json").read_text()
    contents = json.loads(text)
    assert contents["plain"] == {
        "setting": "source",
        "origin": "run",
        "miou": 65.0,
        "iou_vessel": 40.0,
        "pairs": {"a->b": 70.0, "b->a": 60.0},
        "scored": "2/2",
        "seeds": "1",
        "seeds_by_pair": {"a->b": 1, "b->a": 1},
        "parameters_millions": 12.35,
    }
    assert contents["fancy"]["miou"] is None
    assert text == json.dumps(contents, indent=1, sort_keys=True) + "\n"


def test_entered_rows_are_flagged_and_never_shift_the_grid(tmp_path):
    """Rows from prediction files: one complete, one that lacks a pair; an unasked pair counts for neither."""
    records = [
        *RECORDS,
        entered("their-net", "a->b", 0.7),
        entered("their-net", "b->a", 0.7),
        entered("their-net", "a->c", 0.1),
        entered("half-net", "a->b", 0.9),
    ]
    out = build(tmp_path, records=records)
    assert lines(out / "leaderboard.csv")[1:-1] == [
        "their-net,source,80.00,70.00,2/2,1,,predictions",
        "plain,source,65.00,40.00,2/2,1,12.35,run",
        "fancy,source,,,1/2,1-2,12.35,run",
        "half-net,source,,,1/2,1,,predictions",
    ]
    cells = lines(out / "cells.csv")
    assert [line.split(",")[0] for line in cells[7:-1]] == ["half-net", "their-net", "their-net", "their-net"]
    assert cells[7] == "half-net,source,a,b,0,ok,90.00,95.00,90.00,90.00,10,predictions,,,d4d4d4d4,tiny,0.1.0"
    page = (out / "leaderboard.md").read_text()
    assert "| their-net † | source | 80.00 |" in page and "| plain | source |" in page
    assert "- their-net, half-net: entered from prediction files" in page.split("\n")
    assert "- † scored from prediction files of other code" in page


def test_the_page_says_what_its_numbers_mean(tmp_path):
    """Unit, split, checkpoint and class rule; the heat map; what is missing; notes, once for all runs."""
    records = [one | {"note": "tiny scale: 300 steps"} for one in RECORDS]
    page = lines(build(tmp_path, records=records) / "leaderboard.md")
    assert page[:5] == [
        "# vessels",
        "",
        "| method | setting | mIoU (%) | IoU of vessel (%) | pairs | seeds | parameters (M) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| plain | source | 65.00 | 40.00 | 2/2 | 1 | 12.35 |",
    ]
    text = "\n".join(page)
    for words in ("mIoU in %", "`val` split", "last step's checkpoint", "lacks leaves truth and mean", "(heatmap.png)"):
        assert words in text
    assert "- fancy: b → a (seed 0)" in page
    assert "- all runs: tiny scale: 300 steps" in page


def test_the_page_names_the_class_rule_in_force(tmp_path):
    """Scored as the field does, on a subset: the sentence says so."""
    protocol = {"name": "p", "scoring": {"absent": "field", "subset": ["vessel"]}}
    records = [one | {"protocol": protocol} for one in RECORDS]
    page = (build(tmp_path, records=records) / "leaderboard.md").read_text()
    assert "all classes count" in page and "only vessel are scored" in page and "leaves truth" not in page


def test_names_cannot_break_the_page(tmp_path):
    """A bar, a line break, markup: the table keeps its columns and shows the name as it is."""
    name = "my|net\n<b>_x_"
    assert escaped(name) == r"my\|net \<b\>\_x\_"
    page = lines(build(tmp_path, records=[*RECORDS, entered(name, "a->b", 0.5)]) / "leaderboard.md")
    rows = [line for line in page if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}


def test_costs_stand_apart(tmp_path):
    """Minutes, images per second and machine of each trained cell; entered rows have none."""
    dear = {"train_seconds": 100, "predict_seconds": None, "images_per_second": 1.005, "peak_memory_mb": 899.6}
    records = [RECORDS[3], RECORDS[4] | {"costs": dear}, entered("their-net", "a->b", 0.5)]
    assert lines(build(tmp_path, records=records) / "costs.csv") == [
        "method,source,target,seed,run,train_minutes,predict_minutes,train_images_per_second,peak_memory_mb,"
        "device,precision,commit,dirty,started",
        "plain,a,b,0,a1a1a1a1,1.50,0.05,21.00,,cpu,bf16,abc,false,2026-01-02T03:04:05Z",
        "plain,b,a,0,a1a1a1a1,1.67,,1.00,900,cpu,bf16,abc,false,2026-01-02T03:04:05Z",
        "",
    ]


def test_scores_do_not_depend_on_costs(tmp_path):
    """Retrained on another machine at another time: all but costs and the cards have the same bytes."""
    again = deepcopy(RECORDS)
    for one in again:
        one["costs"]["train_seconds"] += 50
        one["environment"] |= {"device": "cuda", "started": "2027", "commit": "def", "dirty": True}
    first, second = build(tmp_path / "1"), build(tmp_path / "2", records=again)
    changed = {name for name in FILES if (first / name).read_bytes() != (second / name).read_bytes()}
    assert changed == {"costs.csv", "index.html"}


@pytest.mark.parametrize("seed", range(3))
def test_bytes_do_not_depend_on_the_order_of_records(tmp_path, seed):
    """Shuffled records, and a reader's own matplotlib settings, give the same bytes of every file."""
    records = [*RECORDS, entered("z-net", "a->b", 0.7), entered("y-net", "b->a", 0.2)]
    first = build(tmp_path / "1", records=records)
    random.Random(seed).shuffle(records)
    with matplotlib.rc_context({"font.size": 20, "font.family": "serif", "savefig.bbox": "tight"}):
        second = build(tmp_path / "2", records=records)
        assert matplotlib.rcParams["font.size"] == 20, "the reader's settings are given back"
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_united_sources_are_one_name(tmp_path):
    """A source of several domains is joined by +, sorted, so that it meets its cell."""
    expected = [cell("plain", "gta+synthia->city")]
    out = build(tmp_path, expected=expected, records=[record("plain", "synthia+gta->city", 0.5)])
    assert lines(out / "cells.csv")[1].startswith("plain,source,gta+synthia,city,0,ok,70.00,")


def test_the_heat_map_hatches_what_is_missing(tmp_path):
    """A map without values is grey; the same map with values has viridis in it; both are legible in size."""
    empty = np.asarray(Image.open(build(tmp_path / "empty", records=[]) / "heatmap.png").convert("RGB")).astype(int)
    filled = np.asarray(Image.open(build(tmp_path / "filled") / "heatmap.png").convert("RGB")).astype(int)
    assert np.ptp(empty, axis=2).max() == 0
    assert np.ptp(filled, axis=2).max() > 100
    assert min(empty.shape[:2]) > 200


def test_the_heat_map_grows_with_the_board(tmp_path):
    """Twelve methods on twenty pairs: cells keep their size, so numbers stay legible."""
    domains, methods = "abcde", [f"method-{i}" for i in range(12)]
    pairs = [f"{s}->{t}" for s in domains for t in domains if s != t]
    expected = [cell(method, pair) for method in methods for pair in pairs]
    small = Image.open(build(tmp_path / "small", expected=expected[:20], records=[]) / "heatmap.png")
    large = Image.open(build(tmp_path / "large", expected=expected, records=[]) / "heatmap.png")
    assert large.height - small.height == pytest.approx(11 * 0.62 * 0.56 * 150, abs=2)
    assert "Software" not in large.info


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([RECORDS[3], RECORDS[3]], "plain a->b seed 0: two records stand for this cell"),
        ([RECORDS[3] | {"suite": "nuclei"}], "plain a->b seed 0: its record is of suite 'nuclei'"),
        ([RECORDS[3] | {"classes": ["vessel", "background"]}], "other classes than suite 'vessels'"),
    ],
)
def test_records_that_do_not_belong_are_refused(tmp_path, records, message):
    """Nothing is written from records that contradict each other or the board."""
    with pytest.raises(BadInput, match=message):
        build(tmp_path / "board", records=records)
    assert not (tmp_path / "board").exists()


def test_a_board_of_nothing_is_refused(tmp_path):
    """No wanted cell and no record: a line, not an empty table."""
    with pytest.raises(BadInput, match="no cell to show"):
        build(tmp_path, expected=[], records=[])


def test_a_valid_record_is_loaded_whole(tmp_path):
    """What is on disk comes back, with keys that the check does not know."""
    contents = RECORDS[0] | {"digests": {"weights": "f"}}
    (tmp_path / "r.json").write_text(json.dumps(contents))
    assert load_record(tmp_path / "r.json") == contents


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda r: r.pop("target"), "target: field required"),
        (lambda r: r.update(schema=2), "schema: input should be 1"),
        (lambda r: r["scores"].update(miou=53.2), "scores.miou: input should be less than or equal to 1"),
        (lambda r: r["scores"].update(miou=float("nan")), "scores.miou: "),
        (lambda r: r["scores"].update(images="10"), "scores.images: input should be a valid integer"),
        (lambda r: r["scores"]["iou"].update(vesel=0.5), "scores name 'vesel', which is no class"),
        (lambda r: r["scores"].update(confusion=[[1, 2], [3]]), "scores.confusion is not 2 x 2"),
        (lambda r: r["fingerprints"].update(score="abc"), "fingerprints.score: string should match"),
        (
            lambda r: r["environment"].update(libraries={"numpy": 2}),
            "environment.libraries.numpy: input should be a valid",
        ),
        (lambda r: r.update(source="drive"), "source: input should be a valid array"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, damage, finding):
    """One line with the file and the key that is missing or wrong."""
    contents = deepcopy(RECORDS[0])
    damage(contents)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(contents))
    with pytest.raises(BadInput) as error:
        load_record(path)
    assert str(error.value).startswith(f"{path}: no valid record: {finding}") and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", None])
def test_a_file_that_is_no_record_is_named(tmp_path, text):
    """Cut short, another type, or not there."""
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(BadInput, match=r"r\.json: no"):
        load_record(tmp_path / "r.json")


def test_reporting_imports_no_torch_and_no_pyplot():
    """Boards are built where no framework is installed, and leave the caller's figures alone."""
    code = "import sys, xdseg.reporting.board; sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
