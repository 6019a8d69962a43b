"""index.html of a board: exact gains and cards, no request to anyone, no pixel that may not be shown."""

import json
import random
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, small_config
from PIL import Image
from test_board import CLASSES, EXPECTED, RECORDS, cell, entered, record
from test_gains import ONE_SOURCE
from test_gains import board as gains_board

from xdseg.cells import Context
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import write_predictions
from xdseg.panels import TargetStrips, may_show, panel_of, positions, write_panel
from xdseg.params import load, merge, parse
from xdseg.records import PRODUCED
from xdseg.reporting.about import About, Panel, Split, Strips
from xdseg.reporting.board import build_board
from xdseg.reporting.cells_table import collect
from xdseg.reporting.gains import gains
from xdseg.reporting.leaderboard import rank
from xdseg.reporting.page_cards import flattened
from xdseg.reporting.page_colours import gain_scale, score_scale
from xdseg.reporting.page_costs import costs
from xdseg.reporting.page_curves import learning
from xdseg.reporting.page_panels import BUDGET, PICTURES, panels
from xdseg.stages.about import overlay_of
from xdseg.stages.board import board, publish
from xdseg.workflow import Plan

LARGEST = 1_500_000  # bytes of a page
PAYLOAD = re.compile(r"data:image/(?!svg)|<image|iVBORw0KGgo|/9j/4AAQ|R0lGOD|UklGR")  # PNG, JPEG, GIF, WebP in base64
REACHES_OUT = re.compile(
    r"""(?:src|href|action|data)\s*=\s*["']?+\s*+"""
    r"""(?!\#|data:|[a-z_]+\.(?:md|csv|json|png|svg|tex)["']|\.\./index\.html["'])[^\s>]"""
    r"""|@import|url\(["']?+(?!(?:data:|\#))|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource|importScripts""",
    re.IGNORECASE,
)
PEERS = {"fancy": {"host": "plain", "ceiling": "best"}, "plain": {}}


def page(out: Path, *, expected=EXPECTED, records=RECORDS, about=None, classes=CLASSES) -> str:
    build_board(suite="vessels", classes=classes, expected=expected, records=records, out=out, about=about)
    return (out / "index.html").read_text()


def contents(text: str, part: str = "contents") -> dict:
    """What the page's scripts read: the numbers, or the cards behind them."""
    return json.loads(re.search(rf'id="{part}">(.*?)</script>', text, re.DOTALL)[1])


def sections(text: str, card: str, number: int = 0) -> dict[str, list]:
    """Rows of a card's sections, of its cell at `number`."""
    found = contents(text, "cards")
    places = found["cards"][card]["cells"][number]["sections"]
    return {found["sections"][place]["title"]: found["sections"][place]["rows"] for place in places}


def words(text: str) -> str:
    """What a reader sees, without markup."""
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_gains_are_paired_and_count_what_both_have():
    """On a->b fancy's seeds 0 and 1 have 90 and 80, plain's 0 has 70: +20 on the seed that both have.

    fancy lacks seed 0 on b->a, so that there is no mean over pairs. plain names no row.
    """
    cells = collect(EXPECTED, RECORDS, suite="vessels", classes=CLASSES)
    found = gains(rank(cells, CLASSES), cells, About(peers=PEERS))
    assert set(found) == {"fancy"}
    assert found["fancy"].mean is None and found["fancy"].better == 1
    assert found["fancy"].by_pair == {("b", "a"): None, ("a", "b"): pytest.approx(0.20)}
    assert found["fancy"].lacking == ("b → a (seed 0 of fancy)",)


def test_a_gain_is_against_the_host_else_the_floor_and_never_guessed():
    """A row that is not on the board cannot be compared with; an entered row names none."""
    cells = collect(EXPECTED, RECORDS, suite="vessels", classes=CLASSES)
    rows = rank(cells, CLASSES)
    assert gains(rows, cells, About(peers={"fancy": {"floor": "plain"}}))["fancy"].role == "floor"
    assert gains(rows, cells, About(peers={"fancy": {"host": "absent", "floor": "plain"}})) == {}
    rows = [replace(row, origin="predictions") if row.method == "fancy" else row for row in rows]
    assert gains(rows, cells, About(peers=PEERS)) == {}


def test_the_table_shows_means_gains_and_holes(tmp_path):
    """The incomplete row says so, where it is seen first and in its place."""
    text = words(page(tmp_path, about=About(peers=PEERS)))
    assert "fancy lacks a value on 1 of 2 pairs" in text and "b → a (seed 0)" in text
    assert "– fancy no mean – – – 1.5 source 1/2 1–2 of 2" in text
    assert "fancy over plain – – – – – – – fancy lacks b → a (seed 0 of fancy)" in text
    assert "1 plain 65.00 40.00 – – 1.5 source 2/2 1 12.35" in text
    assert "cells scored 5 of 6" in text


def test_gains_are_coloured_where_the_interval_does_not_hold_0(tmp_path):
    """best: 10, 10 and 13, 11 ± 4.30; new: 2, 4 and 6, 4 ± 4.97, which holds 0; turned round, best is a loss."""
    for name, sign, shown in (("1", 1, '<b class="up">+11.00</b>'), ("2", -1, '<b class="down">−11.00</b>')):
        values = {key: 50 + sign * (value - 50) for key, value in ONE_SOURCE.items()}
        text = (gains_board(tmp_path / name, values) / "index.html").read_text()
        assert shown in text and ">{} <small>".format({1: "+4.00", -1: "−4.00"}[sign]) in text
        assert text.count('<b class="up">') + text.count('<b class="down">') == 1


def test_a_card_has_the_interval_over_its_seeds(tmp_path):
    """On a->b 90 and 80: 85 ± 12.71 × 7.07 / √2; on b->a a seed is missing: no mean; plain has one seed each."""
    found = contents(page(tmp_path), "cards")

    def over_seeds(name: str) -> list:
        place = found["cards"][name].get("seeds")
        return None if place is None else found["sections"][place]["rows"]

    assert over_seeds("fancy/a--b") == [["mean mIoU", "85.00 ± 63.53 (95 %, Student's t, n = 2)"]]
    assert over_seeds("fancy/b--a") is None
    assert over_seeds("plain/a--b") == [["n", "1"], ["95 % over seeds", "none: one seed, no spread to judge by"]]
    assert found["cards"]["plain/a--b"]["seeds"] == found["cards"]["plain/b--a"]["seeds"], "kept once"


def test_a_missing_cell_is_visible_and_says_how_it_is_made(tmp_path):
    """Hatched in the map; its card holds no number but the command."""
    about = About(overlay="--configfile p.yaml", records={("fancy", "b", "a", 0): "records/v/x.json"})
    text = page(tmp_path, about=about)
    assert re.search(r'data-card="fancy/b--a" class="gap" aria-label="fancy, b → a: no value"', text)
    card = contents(text, "cards")["cards"]["fancy/b--a"]
    assert card["miou"] == "" and [one["miou"] for one in card["cells"]] == ["", "85.00"]
    shown = sections(text, "fancy/b--a")
    assert set(shown) == {"Missing", "Make it again"}
    command = "snakemake --cores 1 --configfile p.yaml -- results/records/v/x.json"
    assert shown["Make it again"] == [["trains, predicts, scores", command, "copy"]]


def test_a_card_holds_what_made_the_number(tmp_path):
    """Settings, data, fingerprints, commit, device, costs: as in the record and the lock, nothing rounded away."""
    made = record(
        "plain", "a->b", 0.5, settings={"training": {"steps": 300, "jitter": None}}, run="v/plain/a/s0-a1a1a1a1"
    )
    made["environment"]["dirty"] = True
    split = Split(7, "e5" * 32, "f6" * 32)
    about = About(data={("a", "train"): split, ("b", "val"): Split(10, "aa" * 32, "bb" * 32), ("b", "train"): split})
    shown = sections(page(tmp_path, records=[made, *RECORDS[:3]], about=about), "plain/a--b")
    assert shown["Settings"] == [["training.steps", "300"], ["training.jitter", "none"]]
    assert shown["Fingerprints"] == [
        ["train", "a1" * 32, "mono"],
        ["predict", "b2" * 32, "mono"],
        ["score", "c3" * 32, "mono"],
    ]
    assert shown["Data"] == [
        *(["a train (training)", "7 images"], ["images", "e5" * 32, "mono"], ["labels", "f6" * 32, "mono"]),
        *(["b val (test)", "10 images"], ["images", "aa" * 32, "mono"], ["labels", "bb" * 32, "mono"]),
    ], "a source run has seen nothing of b's training split"
    assert ["commit", "abc, with changes not committed", "mono"] in shown["Made by"]
    assert ["device", "cpu"] in shown["Made by"] and ["training", "1.50 min, ? steps"] in shown["Costs"]
    assert ["mIoU", "70.00"] in shown["Score"] and ["pixel accuracy", "95.00"] in shown["Score"]


@pytest.mark.parametrize(
    ("setting", "granted"),
    [
        ("source", ["a train (training)", "b val (test)"]),
        ("uda", ["a train (training)", "b train (training, no labels)", "b val (test)"]),
        ("finetune", ["a train (training)", "b train (training)", "b val (test)"]),
        ("oracle", ["b train (training)", "b val (test)"]),
    ],
)
def test_a_card_names_the_data_that_its_setting_grants(tmp_path, setting, granted):
    """The digests of target labels stand there exactly where training could open them."""
    split = Split(1, "e5" * 32, "f6" * 32)
    about = About(data={(domain, name): split for domain in "ab" for name in ("train", "val")})
    made = record("m", "a->b", 0.5) | {"setting": setting}
    text = page(tmp_path, expected=[cell("m", "a->b", setting=setting)], records=[made], about=about)
    data = sections(text, "m/a--b")["Data"]
    assert [row[0] for row in data if row[0] not in ("images", "labels")] == granted
    assert sum(row[0] == "labels" for row in data) == sum("no labels" not in name for name in granted)


def test_an_entered_row_is_flagged_and_its_training_not_claimed(tmp_path):
    """No fingerprint of training, no data it learnt from, and the command that enters it."""
    split = Split(1, "e5" * 32, "f6" * 32)
    about = About(data={("a", "train"): split, ("b", "val"): split}, overlay="")
    text = page(tmp_path, records=[*RECORDS, entered("their-net", "a->b", 0.7)], about=about)
    assert "their-net † entered" in words(text)
    shown = sections(text, "their-net/a--b")
    assert [row[0] for row in shown["Data"]] == ["b val (test)", "images", "labels"]
    assert shown["Fingerprints"] == [["score", "d4" * 32, "mono"]]
    assert shown["Make it again"][0][1] == (
        "xdseg score --predictions FOLDER --method their-net --pair 'a->b' --setting source --seed 0"
    )


def test_bytes_do_not_depend_on_order_or_time(tmp_path):
    """Built twice from the same records in two orders: the same page."""
    shuffled = random.Random(3).sample(RECORDS, len(RECORDS))
    assert page(tmp_path / "1") == page(tmp_path / "2", records=shuffled)


def test_names_cannot_break_the_page(tmp_path):
    """Markup in a method, a class or a note is text, in the page and in what its script reads."""
    evil = '</script><script>alert(1)</script><img src="x">'
    renamed = [
        one
        | {"classes": ["background", evil], "note": evil, "method": f"{one['method']}{evil}"}
        | {"scores": one["scores"] | {"iou": {"background": 0.9, evil: 0.5}, "kept": ["background", evil]}}
        for one in RECORDS
    ]
    expected = [one | {"method": f"{one['method']}{evil}"} for one in EXPECTED]
    text = page(tmp_path, expected=expected, records=renamed, classes=("background", evil))
    assert "<script>alert" not in text and '<img src="x">' not in text
    assert text.count("</script>") == 4, "its own: a class name, numbers, cards, and what reads them"
    assert contents(text)["classes"] == ["background", evil]


def curve(*losses: float | None, term: str = "source/ce") -> dict:
    steps = [10 * (number + 1) for number in range(len(losses))]
    return {"step": steps, "lr": [0.1] * len(steps), "losses": {term: list(losses)}}


def test_curves_are_drawn_once_per_run_and_to_scale():
    """2 then 1 at steps 10 and 20: the middle and the end of 280, the top and the middle of 130."""
    prints = {"train": "77" * 32, "predict": "88" * 32, "score": "99" * 32}
    shared = {"curve": curve(2.0, 1.0), "fingerprints": prints, "run": "v/plain/a/s0-77777777"}
    records = [record("plain", "a->b", 0.5, **shared), record("plain", "a->c", 0.5, **shared)]
    expected = [cell("plain", "a->b"), cell("plain", "a->c")]
    (found,) = learning(collect(expected, records, suite="vessels", classes=CLASSES))
    (chart,) = found.charts
    assert (chart.method, chart.term) == ("plain", "source/ce")
    assert [(line.name, line.points) for line in chart.lines] == [("a", "140.0,0.0 280.0,65.0")]
    assert [text for _, text in chart.ticks] == ["2", "1", "0"] and [text for _, text in chart.steps] == [
        "0",
        "10",
        "20",
    ]


def test_a_curve_of_other_terms_does_not_stop_the_others(tmp_path):
    """A run that lacks a term is left out of its chart; a value that is none, of its line."""
    other = curve(3.0, None, 1.0, term="dacs/mix")
    other["losses"]["source/ce"] = [1.0, 0.5, 0.25]
    prints = {"train": "77" * 32, "predict": "88" * 32, "score": "99" * 32}
    records = [RECORDS[3] | {"curve": curve(2.0, 1.0)}, RECORDS[4] | {"curve": other, "fingerprints": prints}]
    (found,) = learning(collect(EXPECTED[4:], records, suite="vessels", classes=CLASSES))
    made = found.charts
    assert [(chart.term, len(chart.lines)) for chart in made] == [("source/ce", 2), ("dacs/mix", 1)]
    assert len(made[1].lines[0].points.split()) == 2
    assert "<polyline" in page(tmp_path, expected=EXPECTED[4:], records=records)


def test_records_without_a_curve_are_named(tmp_path):
    """None has one: said of the board; some have: the methods that lack it are named."""
    assert "None of this board's records holds a curve" in words(page(tmp_path / "1"))
    records = [RECORDS[3] | {"curve": curve(2.0, 1.0)}, *RECORDS[:3], RECORDS[4]]
    assert "No curve in the records of fancy, plain" in words(page(tmp_path / "2", records=records))


def test_a_training_is_counted_once():
    """Three cells of two runs of 90 s: 3 minutes; an oracle's run is its floor's."""
    one = {"train": "11" * 32, "predict": "88" * 32, "score": "99" * 32}
    run = {"run": "v/plain/a/s0-11111111", "fingerprints": one}
    records = [record("plain", "a->b", 0.5, **run), record("plain", "a->c", 0.5, **run), record("plain", "b->a", 0.5)]
    records += [record("oracle", "b->a", 0.5, **run)]
    cells = collect([cell(r["method"], f"{r['source'][0]}->{r['target']}") for r in records], records,
                    suite="vessels", classes=CLASSES)  # fmt: skip
    plain, oracle = costs(cells)
    assert (plain.runs, plain.minutes, plain.per_run, plain.shared) == (2, 3.0, "1.5", "")
    assert (oracle.runs, oracle.shared) == (1, "plain")


def test_flattened_settings():
    """Dotted keys, lists of plain values in one line, lists of parts by number; None is `none`."""
    nested = {"a": {"b": 1, "c": None}, "d": [0.5, 2], "e": [{"kind": "dacs"}], "f": {}, "g": True}
    assert flattened(nested) == {
        "a.b": "1",
        "a.c": "none",
        "d": "0.5, 2",
        "e.0.kind": "dacs",
        "f": "defaults",
        "g": "true",
    }


def test_every_colour_can_be_read():
    """Ink against background of both scales: at least 4.5 to 1, as the accessibility guidelines ask of text."""
    score, *_ = score_scale([0.0, 1.0])
    gain, _ = gain_scale([-0.2, 0.2])
    found = [score(part / 100) for part in range(101)] + [gain(part / 100) for part in range(-20, 21)]
    assert min(contrast(*pair) for pair in found) >= 4.5
    assert score(0.0)[0] != score(0.5)[0] != score(1.0)[0] and gain(-0.2)[0] != gain(0.2)[0]


# What dichromats see, as matrices on linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.0
VISIONS = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of linear sRGB


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_of_methods_are_apart_for_all_eyes(theme, vision):
    """Any two differ by 20 or more (CIE 1976; a just noticeable difference is 2.3), and by 3 to 1 from the paper."""
    css = (ROOT / "xdseg/reporting/templates/page.css").read_text()
    paper = re.search(r"--paper: light-dark\((#\w+), (#\w+)\)", css)[1 + theme]
    found = [pair[theme] for pair in re.findall(r"--c\d: light-dark\((#\w+), (#\w+)\)", css)]
    assert len(found) == 8 and min(contrast(colour, paper) for colour in found) >= 3
    seen = np.array([lab(linear(colour) @ np.array(VISIONS[vision]).T) for colour in found])
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert apart[~np.eye(8, dtype=bool)].min() >= 20


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB."""
    xyz = XYZ @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    light = sorted(map(luminance, (one, other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(colour: str) -> float:
    return float(XYZ[1] @ linear(colour))


@pytest.fixture
def shown(project) -> Context:
    """The toy suite, whose images may be shown, with predictions of source-only on a->b: the truth moved by one."""
    config = merge(small_config(), {"suites": {"toy": {"redistribute": True}}})
    project.write(config)
    context = Context.of(parse(config))
    of_cell = Plan(context.params).cells[0]
    assert (of_cell.method, str(of_cell.pair)) == ("source-only", "a->b")
    write_predictions(of_cell.folder / "predictions.zip", [(name, moved(name)) for name in ("04", "05")])
    return context


def truth(name: str) -> np.ndarray:
    from xdseg.params import data_root

    return np.array(Image.open(data_root() / f"toy/b/labels/{name}.png"))


def moved(name: str) -> np.ndarray:
    """A prediction that is wrong in known places."""
    label = truth(name)
    label[label == 255] = 0
    return (label + 1) % 3


def test_panels_hold_the_very_pixels(shown):
    """Ids of predictions and truth come back as they were, side by side; ignored pixels stay ignored."""
    of_cell = Plan(shown.params).cells[0]
    path = PRODUCED / of_cell.record_name
    said = write_panel(path, PRODUCED, of_cell)
    assert said["names"] == ["04", "05"] and said["widths"] == [32, 32]
    assert np.array_equal(np.array(Image.open(panel_of(path))), np.hstack([moved("04"), moved("05")]))
    strips = TargetStrips.of(PRODUCED, shown, "b")
    assert np.array_equal(np.array(Image.open(strips.truth)), np.hstack([truth("04"), truth("05")]))
    assert Image.open(strips.images).size == (64, 24)


def test_shown_images_are_fixed_places():
    """First, middle, last; each once."""
    assert [positions(count) for count in (1, 2, 3, 60)] == [[0], [0, 1], [0, 1, 2], [0, 30, 59]]


def test_panels_reach_the_page_and_the_records(shown, capsys):
    """Recorded, shown and published; a panel that is not its record's is refused."""
    plan = Plan(shown.params)
    of_cell = plan.cells[0]
    path = PRODUCED / of_cell.record_name
    said = write_panel(path, PRODUCED, of_cell)
    made = record("source-only", "a->b", 0.5) | {"suite": "toy", "classes": ["ground", "thing", "sky"], "panel": said}
    made["scores"] |= {"iou": {}, "kept": [], "confusion": [[0] * 3] * 3}
    path.write_text(json.dumps(made | {"curve": None, "run": None}))
    folder = Path(plan.partial)
    board(folder, shown.params, partial=True)
    text = (folder / "index.html").read_text()
    assert PAYLOAD.search(text) and text.count("data:image/png;base64") == 2 and text.count("data:image/jpeg") == 1
    assert not REACHES_OUT.search(text)
    publish(folder, shown.params)
    kept = {str(part.relative_to("records/toy")) for part in Path("records/toy").rglob("*.*") if part.suffix != ".json"}
    strips = TargetStrips.of(PRODUCED, shown, "b")
    name = panel_of(path).name
    assert kept == {f"_panels/{strips.images.name}", f"_panels/{strips.truth.name}", f"source-only/a--b/{name}"}
    panel_of(path).write_bytes(b"another")
    with pytest.raises(BadInput, match=r"not the panel that .* names; restore it or delete it"):
        board(folder, shown.params, partial=True)


def test_photographs_stay_where_they_may_not_be_shown(shown, project):
    """The same record and panel under a suite that does not allow it: not a pixel in the page."""
    of_cell = Plan(shown.params).cells[0]
    assert may_show(shown) and not may_show(Context.of(parse(small_config())))
    path = PRODUCED / of_cell.record_name
    said = write_panel(path, PRODUCED, of_cell)
    made = record("source-only", "a->b", 0.5) | {"suite": "toy", "classes": ["ground", "thing", "sky"], "panel": said}
    made["scores"] |= {"iou": {}, "kept": [], "confusion": [[0] * 3] * 3}
    path.write_text(json.dumps(made))
    params = parse(small_config())
    board(Path(Plan(params).partial), params, partial=True)
    text = Path(Plan(params).partial, "index.html").read_text()
    assert not PAYLOAD.search(text) and "may not be redistributed" in text


def large_board(folder: Path) -> dict:
    """20 pairs x 6 methods of 14 classes, with curves and with panels of noise, which compresses badly."""
    names = tuple(f"class {number}" for number in range(14))
    pairs = [f"{a}->{b}" for a in "abcde" for b in "abcde" if a != b]
    expected = [cell(f"method-{number}", pair) for number in range(6) for pair in pairs]
    rng, records, shown = np.random.default_rng(0), [], {}
    for number, one in enumerate(expected):
        made = record(one["method"], f"{one['source']}->{one['target']}", 0.5)
        scores = {"iou": dict.fromkeys(names, 0.123456), "kept": list(names), "confusion": [[0] * 14] * 14}
        prints = {stage: f"{number:064x}" for stage in ("train", "predict", "score")}
        steps = {"step": list(range(100)), "losses": {"a/b": rng.random(100).tolist(), "c/d": rng.random(100).tolist()}}
        settings = {"training": {f"key{at}": at for at in range(25)}}
        records.append(made | {"classes": list(names), "scores": made["scores"] | scores, "fingerprints": prints,
                               "curve": steps, "settings": settings})  # fmt: skip
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 3, (60, 360), np.uint8)).save(path)
        key = (one["method"], one["source"], one["target"], 0)
        shown[key] = Panel(path, ("x", "y", "z"), (120, 120, 120))
    Image.fromarray(rng.integers(0, 255, (60, 360, 3), np.uint8)).save(folder / "image.jpg")
    strips = {target: Strips(folder / "image.jpg", folder / "0.png") for target in "abcde"}
    about = About(may_show=True, panels=shown, strips=strips)
    return {"expected": expected, "records": records, "about": about, "classes": names}


def test_a_large_page_stays_small(tmp_path, monkeypatch):
    """20 pairs x 6 methods with everything: below 1.5 MB, 24 pictures; of fewer bytes one image, then fewer targets."""
    made = large_board(tmp_path)
    cells = collect(made["expected"], made["records"], suite="vessels", classes=made["classes"])
    found, left_out = panels(cells, made["about"])
    assert sum(part.size for part in found) <= BUDGET and {part.names for part in found} == {("x", "y", "z")}
    assert [part.target for part in found] == list("abc") and sum(len(part.pictures) for part in found) == PICTURES
    names = [picture.name for picture in found[0].pictures]
    assert names == ["image", "truth", *(f"method-{number}, b →" for number in range(6))], "a source of each method"
    assert left_out == 20 * 6 - 3 * 6
    text = page(tmp_path / "board", **made)
    assert len(text.encode()) < LARGEST and text.count('src="data:image/') == PICTURES
    monkeypatch.setattr("xdseg.reporting.page_panels.BUDGET", sum(part.size for part in found) // 2)
    found, left_out = panels(cells, made["about"])
    assert {part.names for part in found} == {("x",)} and len(found) == 3 and left_out == 20 * 6 - 3 * 6
    assert {picture.width for picture in found[0].pictures} == {120}
    monkeypatch.setattr("xdseg.reporting.page_panels.BUDGET", 2 * found[0].size)
    found, left_out = panels(cells, made["about"])
    assert (len(found), left_out) == (2, 20 * 6 - 2 * 6)
    assert "108 more predictions have panels" in words(page(tmp_path / "board", **made))


def test_an_oracle_is_shown_once_a_target(tmp_path):
    """Its cells on a->b and c->b are one run's; of two seeds the first is shown."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "p.png")
    panel, strips = Panel(tmp_path / "p.png", ("x",), (8,)), Strips(tmp_path / "p.png", tmp_path / "p.png")
    expected = [cell(method, pair, seed, setting) for method, setting in (("o", "oracle"), ("m", "source"))
                for pair in ("a->b", "c->b") for seed in (0, 1)]  # fmt: skip
    cells = collect(expected, [], suite="vessels", classes=CLASSES)
    shown = About(may_show=True, panels={one.key: panel for one in cells}, strips={"b": strips})
    ((found,), _) = panels(cells, shown)
    assert [picture.name for picture in found.pictures] == ["image", "truth", "o", "m, a →", "m, c →"]


def test_the_page_reaches_out_to_nobody(tmp_path):
    """No address but its own files and data; the browser is told so too. The check sees what it looks for."""
    text = page(tmp_path)
    assert not REACHES_OUT.search(text)
    assert "default-src 'none'" in text
    for harm in ('<img src="https://x.org/a.png">', "<script src=//x.org/a.js>", "@import 'a.css'", "url(http://x)",
                 '<a href="https://x.org">', "fetch('a')"):  # fmt: skip
        assert REACHES_OUT.search(text + harm), harm


def committed() -> list[Path]:
    return sorted(ROOT.glob("reports/*/index.html"))


def suite_of(path: Path) -> str:
    return re.search(r'data-suite="([^"]+)"', path.read_text())[1]


FIGURES = {"heatmap.png", "gains.png", "ranks.png"}  # of numbers alone


def forbidden_pixels(path: Path, allowed: set[str]) -> list[str]:
    """What a committed board shows of photographs that it may not show."""
    suite = suite_of(path)
    if suite in allowed:
        return []
    found = [match[0] for match in PAYLOAD.finditer(path.read_text())]
    pictures = [*path.parent.glob("*"), *(path.parents[2] / "records" / suite).rglob("*")]
    endings = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff"}
    return found + [part.name for part in pictures if part.suffix in endings and part.name not in FIGURES]


def test_committed_pages_show_no_pixel_that_may_not_be_shown(monkeypatch, tmp_path):
    """Pages, boards and records of suites that do not allow it; and the check finds a pixel where there is one."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    suites = load().suites
    locks = {name: ROOT / f"data/locks/{name}.json" for name in suites}
    allowed = {name for name, suite in suites.items() if suite.redistribute}
    allowed |= {name for name, lock in locks.items() if lock.exists() and json.loads(lock.read_text())["redistribute"]}
    assert "vessels" not in allowed and "streetworld" in allowed
    assert {suite_of(path) for path in committed()} >= {"vessels", "streetworld"}
    for path in committed():
        assert forbidden_pixels(path, allowed) == [], path
    copied = tmp_path / "reports/vessels/index.html"
    copied.parent.mkdir(parents=True)
    for harm in ('<img src="data:image/png;base64,AAAA">', '{"picture": "/9j/4AAQSkZJRg"}'):
        copied.write_text((ROOT / "reports/vessels/index.html").read_text() + harm)
        assert forbidden_pixels(copied, allowed), harm


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.parent.name)
def test_committed_pages_reach_out_to_nobody_and_are_small(path):
    """As they lie in the repository."""
    text = path.read_text()
    assert not REACHES_OUT.search(text) and len(text.encode()) < LARGEST


def test_templates_are_packaged():
    """An installation that is no checkout has them too."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["xdseg"]
    files = {path for pattern in patterns for path in (ROOT / "xdseg").glob(pattern)}
    assert {path.name for path in files} >= {"index.html.j2", "front.html.j2", "page.css", "cards.js"}


def test_every_caption_of_the_report_is_there():
    """Snakemake reads them only when a report is asked for, so a missing one would show late."""
    named = re.findall(r'"(captions/[^"]+)"', (ROOT / "pipeline/report.smk").read_text())
    assert len(named) == 10 and {path.name for path in (ROOT / "pipeline/captions").iterdir()} == {
        Path(name).name for name in named
    }


def test_settings_of_a_preset_are_found_again(monkeypatch):
    """The command on the page names the overlay in force; settings that no file gives are said to be so."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    assert overlay_of(load()) == ""
    assert overlay_of(load([Path("pipeline/presets/vessels.yaml")])) == "--configfile pipeline/presets/vessels.yaml"
    base = yaml.safe_load(Path("params.yaml").read_text())
    assert overlay_of(parse(merge(base, {"grid": {"seeds": [17]}}))) is None
    assert overlay_of(parse(merge(base, {"grid": {"board": "streetworld"}}))) == "", "the default, by its name"
    assert overlay_of(parse(merge(base, {"runtime": {"log_every": 3}, "records": "ignore"}))) == ""


@pytest.mark.slow
def test_the_command_of_a_card_makes_its_record(project):
    """Pasted into a shell, as a dry run: it plans the training, the score and that very record."""
    params = parse(small_config())
    plan = Plan(params)
    board(Path(plan.partial), params, partial=True)
    text = Path(plan.partial, "index.html").read_text()
    command = sections(text, "oracle/a--b")["Make it again"][0][1]
    assert command.startswith("snakemake --cores 1 -- results/records/toy/oracle/a--b/s0-")
    done = subprocess.run(
        command.replace("snakemake", "snakemake -n", 1).split(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    planned = done.stdout + done.stderr
    assert all(f"rule {name}:" in planned for name in ("train", "predict", "score", "record"))
    assert "rule all:" not in planned


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_opens_the_card(tmp_path):
    """The page's script runs under its own policy: an address with a card shows its fingerprints."""
    page(tmp_path)
    address = f"file://{tmp_path}/index.html#card=plain%2Fa--b"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(["chromium", *options, "--dump-dom", address], capture_output=True, text=True, timeout=300)
    opened = re.search(r"<dialog[^>]*open.*?</dialog>", done.stdout, re.DOTALL)
    assert opened and "a1" * 32 in opened[0] and ">70.00<" in opened[0]


def test_boards_of_two_names_lie_apart(project):
    """Two boards of the same cells have pages of their own: the name stands on them."""
    other = small_config(board="other")
    assert Plan(parse(small_config())).board != Plan(parse(other)).board
