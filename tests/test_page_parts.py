"""Parts of the page: what rows are filtered by, marked with, drawn from, and set beside."""

import subprocess
import sys

import numpy as np
from conftest import ROOT
from test_board import cell, entered, record

from xdseg.params import load
from xdseg.process import LIBRARIES, provenance
from xdseg.published import read
from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell, by_method, collect
from xdseg.reporting.leaderboard import rank
from xdseg.reporting.page_costs import costs
from xdseg.reporting.page_curves import learning
from xdseg.reporting.page_facets import LABELS, choices, common, facets
from xdseg.reporting.page_map import classes_of
from xdseg.reporting.page_marks import marks, order
from xdseg.reporting.page_published import beside
from xdseg.reporting.page_scores import page_pairs, values
from xdseg.reporting.page_templates import coded
from xdseg.reporting.text import escaped_note
from xdseg.stages.traits import traits_of

CLASSES = ("background", "vessel")


def collected(*records: dict, wanted: list[dict] | None = None) -> list[TableCell]:
    """The cells of these records, which the grid wants unless they were entered."""
    expected = [cell(one["method"], f"{'+'.join(one['source'])}->{one['target']}", one["seed"], one["setting"])
                for one in records if one["origin"] == "run"]  # fmt: skip
    return collect(wanted or expected, list(records), suite="vessels", classes=CLASSES)


def made(method: str, pair: str = "a->b", *, versions: dict[str, int] | None = None, **environment) -> dict:
    """A record of another environment, and of parts of these versions."""
    one = record(method, pair, 0.5)
    parts = [{"kind": kind, "version": version} for kind, version in (versions or {}).items()]
    settings = {"segmenter": {"kind": "s", "version": 1, "inner": {"kind": "i", "version": 1}}, "adaptations": parts}
    return one | {"environment": one["environment"] | environment, "settings": settings}


def test_rows_that_differ_from_most_cells_are_marked():
    """Two of three rows share everything; a mark says what the row has, the legend what most have."""
    cells = collected(
        made("usual"),
        made("usual", "b->a"),
        made("odd", device="gpu", precision="fp32", torch="2.16.0", dirty=True),
        made("half", device="gpu"),
        made("half", "b->a"),
        entered("theirs", "a->b", 0.5),
    )
    found = marks(cells)
    assert {name: list(found.of(name)) for name in ("usual", "odd", "half", "theirs")} == {
        "usual": [],
        "odd": ["D", "P", "L", "C"],
        "half": ["D"],
        "theirs": [],
    }
    assert found.of("half")["D"] == "on another device: gpu"
    assert [mark for mark, _ in found.legend] == ["D", "P", "L", "C"]
    assert "(cpu)" in dict(found.legend)["D"] and "(torch 2.15.0)" in dict(found.legend)["L"]


def test_libraries_are_compared_where_both_records_have_them():
    """numpy differs, timm is told by two, torch alone by one of before: it is no other version to say nothing."""
    cells = collected(
        made("one", libraries={"numpy": "2.3", "timm": "1.0"}),
        made("two", libraries={"numpy": "2.3"}),
        made("odd", libraries={"numpy": "2.4", "timm": "1.0"}),
        made("before"),
    )
    found = marks(cells)
    assert not any(found.of(name) for name in ("one", "two", "before"))
    assert found.of("odd") == {"L": "with other library versions: numpy 2.4"}
    assert found.legend == [("L", "made with other library versions than most cells of this board (numpy 2.3), "
                                  "in part or whole")]  # fmt: skip


def test_a_run_tells_the_libraries_that_can_change_its_numbers(monkeypatch):
    """Those that are installed, by their versions, and none of them is imported for it; absent ones are left out."""
    monkeypatch.setattr("xdseg.process.LIBRARIES", (*LIBRARIES, "no-such-library"))
    found = provenance()["libraries"]
    assert found["numpy"] == np.__version__ and {"pillow", "timm", "torchvision", "transformers"} <= set(found)
    assert "no-such-library" not in found
    code = "import sys; from xdseg.process import provenance; provenance(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_versions_are_numbers_not_words():
    """0.10 is newer than 0.9, 10 than 9; 2 and "2" are one; a candidate comes before its release."""
    new, old = made("new", versions={"dacs": 10}), made("old", versions={"dacs": "9"})
    new["benchmark_version"], old["benchmark_version"] = "0.10.0", "0.9.0"
    found = marks(collected(new, old))
    assert found.of("new") == {} and found.of("old") == {"V": "older version of a part: XDSeg 0.9.0, dacs 9"}
    same = [made(name, versions={"dacs": version}) for name, version in (("number", 2), ("word", "2"))]
    assert marks(collected(*same)).rows == {}
    in_order = ["0.9", "0.9.1", "0.10rc1", "0.10rc2", "0.10", "0.10.0", "1"]
    assert sorted(reversed(in_order), key=order) == in_order


def test_older_versions_of_parts_are_marked_whatever_most_have():
    """dacs 1 in two rows, 2 in one: the newest counts. A part inside another counts too."""
    new = made("new", versions={"dacs": 2})
    new["settings"]["segmenter"]["inner"]["version"] = 3
    found = marks(collected(made("old", versions={"dacs": 1}), made("older", versions={"dacs": 1}), new, made("none")))
    assert found.of("new") == {}
    assert found.of("old") == {"V": "older version of a part: dacs 1, i 1"}
    assert found.of("none") == {"V": "older version of a part: i 1"}


def test_a_board_of_one_kind_bears_no_mark_and_no_legend():
    """Nothing to tell apart."""
    found = marks(collected(made("one"), made("other")))
    assert found.legend == [] and found.rows == {}


def test_facets_come_from_the_settings_else_from_the_records():
    """Settings say all; records kind and adaptations; of an entered row only setting and origin are known."""
    one, other = made("known"), made("recorded", versions={"dacs": 1, "mfm": 1})
    cells = collected(one, other, entered("theirs", "a->b", 0.5))
    traits = {"segmenter": ("net",), "kind": ("k",), "tuning": ("lora",), "adaptation": ("none",)}
    traits |= {"pretraining": ("generated scenes",), "reconstruction": ("yes",)}
    rows, own = rank(cells, CLASSES), by_method(cells)
    found = {row.method: facets(row, own[row.method], About(traits={"known": traits})) for row in rows}
    made_here = {"origin": ("this workflow",), "imported": ("nowhere: made here",)}
    assert found["known"] == {"setting": ("source",), **traits, **made_here}
    assert found["recorded"]["adaptation"] == ("dacs", "mfm") and found["recorded"]["kind"] == ("s",)
    assert found["recorded"]["tuning"] == ("not known",)
    assert found["theirs"]["origin"] == ("entered from predictions",) and found["theirs"]["kind"] == ("not known",)
    offered = {name: options for name, _, options in choices(list(found.values()))}
    assert "setting" not in offered, "all rows are of one setting"
    assert common(list(found.values())) == [("setting", "source")], "which is said once of all rows"
    assert offered["adaptation"] == ["dacs", "mfm", "none", "not known"] and set(offered) < set(LABELS)


def test_what_all_rows_share_is_said_unless_it_goes_without_saying():
    """Several values are one answer; what is not known is none; made here by this workflow is no news."""
    alike = {"pretraining": ("generated scenes",), "adaptation": ("dacs", "mfm"), "tuning": ("not known",)}
    alike |= {"origin": ("this workflow",), "imported": ("nowhere: made here",), "reconstruction": ("no",)}
    rows = [alike | {"setting": ("uda",), "kind": (kind,), "segmenter": (kind,)} for kind in ("a", "b")]
    said = [("setting", "uda"), ("adaptation", "dacs, mfm"), ("starts from", "generated scenes")]
    assert common(rows) == [*said, ("reconstruction", "no")]
    assert common([row | {"imported": ("lab A",)} for row in rows])[-1] == ("imported from", "lab A")


def test_imported_rows_can_be_chosen_by_who_made_them():
    """In whole, in part, by way of another, entered elsewhere; on a board of one kind there is no choice."""
    hops = [{"origin": "lab A", "pack": "0" * 64}, {"origin": "lab B", "pack": "1" * 64}]
    theirs, part = made("whole"), made("part")
    theirs["imported"], part["imported"] = hops, hops[:1]
    rows_of = [theirs, part, made("part", "b->a"), made("own"), entered("sent", "a->b", 0.5, imported=hops[1:])]
    cells = collected(*rows_of)
    own = by_method(cells)
    found = {row.method: facets(row, own[row.method], About()) for row in rank(cells, CLASSES)}
    assert {method: said["imported"] for method, said in found.items()} == {
        "whole": ("lab A",),
        "part": ("lab A", "nowhere: made here"),
        "own": ("nowhere: made here",),
        "sent": ("lab B",),
    }
    assert found["sent"]["origin"] == ("entered from predictions",), "how it was made is a filter of its own"
    offered = {name: (label, values) for name, label, values in choices(list(found.values()))}
    assert offered["imported"] == ("imported from", ["lab A", "lab B", "nowhere: made here"])
    assert "imported" not in {name for name, *_ in choices([found["own"], found["own"]])}


def test_traits_of_methods_are_those_of_the_settings(monkeypatch):
    """Of params.yaml as it is: a tuning, weights of a nested network from generated scenes, reconstructions."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    params = load()
    plain, rein, hrda = (traits_of(params, name) for name in ("source-only", "vfm-rein", "hrda"))
    assert plain == {
        "segmenter": ("deeplabv3plus",),
        "kind": ("deeplabv3plus",),
        "tuning": ("full",),
        "adaptation": ("none",),
        "pretraining": ("random weights",),
        "reconstruction": ("no",),
    }
    assert rein["tuning"] == ("rein",) and traits_of(params, "vfm-frozen")["tuning"] == ("frozen",)
    assert rein["pretraining"] == hrda["pretraining"] == ("generated scenes",)
    assert hrda["adaptation"] == ("dacs", "feature-distance")
    assert {traits_of(params, name)["reconstruction"] for name in params.methods if name.startswith("tmt")} == {
        ("yes",)
    }


def test_the_numbers_of_the_page_are_whole_millionths():
    """By row, pair and seed: mIoU and classes; a cell without a record is its seed; entered pairs come last."""
    wanted = [cell("m", "a->b", 0), cell("m", "a->b", 1)]
    cells = collected(record("m", "a->b", 0.1234567), entered("theirs", "c->b", 0.5), wanted=wanted)
    assert page_pairs(cells) == [("a", "b"), ("c", "b")]
    rows = rank(cells, CLASSES)
    found = dict(zip([row.method for row in rows], values(rows, cells, CLASSES), strict=True))
    assert found["m"] == [[[0, 511_728, 900_000, 123_457], [1]], []]
    assert found["theirs"] == [[], [[0, 700_000, 900_000, 500_000]]]


def test_a_classes_mean_is_over_the_same_pairs_for_all_rows():
    """vessel: on b->a no row has it, so that a->b counts alone; `half` lacks it there and has no mean."""
    cells = collected(
        record("full", "a->b", 0.4),
        record("full", "b->a", None),
        record("half", "a->b", None),
        record("half", "b->a", None),
    )
    rows = rank(cells, CLASSES)
    background, vessel = classes_of(rows, cells, CLASSES, colours={"full": 0, "half": 1})
    assert vessel["pairs"] == 1 and background["pairs"] == 2
    assert {bar["method"]: bar["value"] for bar in vessel["bars"]} == {"full": "40.00", "half": ""}
    assert {bar["value"] for bar in background["bars"]} == {"90.00"}


def test_costs_for_the_chart_are_means_of_runs_and_of_targets():
    """Two runs of 60 and 180 s, of which one serves two targets in 1 and 3 s, the other one in 5 s."""
    one = {"train": "11" * 32, "predict": "88" * 32, "score": "99" * 32}
    spent = [(("a->b", 60, 1), one), (("a->c", 60, 3), one), (("b->a", 180, 5), one | {"train": "22" * 32})]
    records = [
        record("m", pair, 0.5, fingerprints=prints)
        | {"costs": {"train_seconds": train, "predict_seconds": predict, "peak_memory_mb": None}}
        for (pair, train, predict), prints in spent
    ]
    (found,) = costs(collected(*records))
    assert found.numbers == {"minutes": 2.0, "predicting": 3.0, "memory": None}


def test_published_numbers_stand_beside_rows_of_their_name():
    """On gta5->cityscapes: DAFormer's 68.3 beside ours, an unknown name beside nothing; other pairs are left out."""
    ours = [record("daformer", "gta5->cityscapes", 0.5), record("source-only", "gta5->cityscapes", 0.3)]
    ours[0]["setting"] = "uda"
    cells = collected(*ours)
    found = beside(rank(cells, CLASSES))
    assert found and {line.pair for line in found} == {"gta5 → cityscapes"}
    assert [float(line.row.miou) for line in found] == sorted((float(line.row.miou) for line in found), reverse=True)
    assert all(line.row.sure for line in found)
    by_name = {line.row.method: line for line in found if line.row.setting == "uda"}
    assert (by_name["DAFormer"].method, by_name["DAFormer"].ours) == ("daformer", "70.00")
    assert (by_name["HRDA"].method, by_name["HRDA"].ours) == ("", "")
    assert len(found) == sum((row.source, row.target) == ("gta5", "cityscapes") for row in read())


def test_a_published_mean_is_beside_the_mean_of_the_same_targets():
    """All three targets on the board: (70 + 60 + 50) / 3; with two of them there is no such line."""
    records = [record("rein", f"gta5->{target}", iou) for target, iou in
               (("cityscapes", 0.5), ("bdd100k", 0.3), ("mapillary", 0.1))]  # fmt: skip
    means = [line for line in beside(rank(collected(*records), CLASSES)) if "mean(" in line.pair]
    assert {line.ours for line in means if line.row.method == "Rein"} == {"60.00"}
    assert not any("mean(" in line.pair for line in beside(rank(collected(*records[:2]), CLASSES)))


def test_no_board_of_other_domains_has_published_numbers():
    """The toy's domains are in no paper."""
    assert beside(rank(collected(record("dacs", "a->b", 0.5)), CLASSES)) == []


def test_names_in_backticks_are_code_and_nothing_else_is_markup():
    """On the page and in Markdown; a backtick without its partner is one."""
    text = "as in `a<b>`; <i> & *it*"
    assert coded(text) == "as in <code>a&lt;b&gt;</code>; &lt;i&gt; &amp; *it*"
    assert escaped_note(text) == r"as in `a<b>`; \<i\> & \*it\*"
    assert coded("one ` <i>") == "one ` &lt;i&gt;" and escaped_note("one ` *") == r"one \` \*"


def runs(*terms: dict[str, list[float]], method: str = "m") -> list[TableCell]:
    """Cells of one run each, with these losses at steps 1, 2, …."""
    records = []
    for number, losses in enumerate(terms):
        one = record(method, f"{chr(ord('a') + number)}->z", 0.5)
        steps = list(range(1, 1 + len(next(iter(losses.values())))))
        curve = {"step": steps, "lr": steps, "losses": losses}
        prints = dict.fromkeys(("train", "predict", "score"), f"{number:064x}")
        records.append(one | {"curve": curve, "fingerprints": prints, "run": None})
    return collected(*records)


def test_lines_are_told_apart_within_a_method():
    """Ten runs have ten numbers, whatever other methods have; all charts of a method number them alike."""
    cells = [*runs({"t/other": [1.0]}, method="a"), *runs(*[{"t/x": [1.0, 2.0], "t/y": [2.0, 1.0]}] * 10)]
    one, other = learning(cells)
    assert (one.method, one.runs) == ("a", ["a → z"])
    assert other.runs == [f"{source} → z" for source in "abcdefghij"]
    assert [[line.colour for line in chart.lines] for chart in other.charts] == [list(range(10))] * 2


def test_a_term_that_stays_at_0_is_named_and_not_drawn():
    """Below a millionth in every run; one value of one run brings it back."""
    (found,) = learning(runs({"t/x": [1.0, 2.0], "t/none": [0.0, 9e-7]}, {"t/x": [1.0, 2.0], "t/none": [-5e-7, 0.0]}))
    assert [chart.term for chart in found.charts] == ["t/x"] and found.still == ["t/none"]
    (found,) = learning(runs({"t/x": [1.0, 2.0], "t/none": [0.0, 2e-6]}, {"t/x": [1.0, 2.0], "t/none": [0.0, 0.0]}))
    assert [chart.term for chart in found.charts] == ["t/none", "t/x"] and found.still == []


def test_numbers_beside_an_axis_have_room():
    """Three digits where they fit in six characters, else two and an exponent."""
    (found,) = learning(
        runs({"t/a": [0.00164, 0.0], "t/b": [12345.0, 0.0], "t/c": [0.5, -0.5], "t/d": [123456.0, 0.0]})
    )
    ticks = {chart.term: [text for _, text in chart.ticks] for chart in found.charts}
    assert ticks == {
        "t/a": ["1.6e-3", "8.2e-4", "0"],
        "t/b": ["12345", "6172", "0"],
        "t/c": ["0.5", "0", "-0.5"],
        "t/d": ["1.2e5", "61728", "0"],
    }
