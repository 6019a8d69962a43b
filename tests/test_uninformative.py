"""The warning of a map of transferability that tells nothing, and its measures among the curves."""

import pytest
from test_board import CLASSES, build, cell, record

from xdseg.reporting.cells_table import collect
from xdseg.reporting.page_curves import learning
from xdseg.reporting.uninformative import accuracy, map_warnings


def curve(*values):
    """A curve with these accuracies."""
    steps = list(range(1, len(values) + 1))
    return {"step": steps, "lr": steps, "losses": {"tmt/region": steps}, "measures": {"tmt/accuracy": list(values)}}


def cells_of(**curves):
    """Cells of the method `tmt`, by pair `ab`."""
    pairs = {f"{pair[0]}->{pair[1]}": found for pair, found in curves.items()}
    records = [record("tmt", pair, 0.5, curve=found) for pair, found in pairs.items()]
    return collect([cell("tmt", pair) for pair in pairs], records, suite="vessels", classes=CLASSES)


def test_the_last_quarter_counts():
    """Of eight points the last two; without a curve, or measures in it, there is nothing to say."""
    assert accuracy({"curve": curve(*[0.5] * 6, 0.8, 1.0)}) == pytest.approx(0.9)
    assert accuracy({"curve": curve(0.7)}) == 0.7
    assert accuracy({"curve": None}) is None and accuracy({}) is None
    assert accuracy({"curve": {"losses": {"a/b": [1]}}}) is None


def test_warning_names_pairs_and_numbers():
    """Above 0.95 and below 0.52; on the bounds a map still counts."""
    found = map_warnings(cells_of(ab=curve(0.99), ba=curve(0.5), ac=curve(0.95), ca=curve(0.52), bc=None))
    assert [method for method, _ in found] == ["tmt"]
    assert "uninformative on 2 of 4 cells" in found[0][1]
    assert found[0][1].endswith("above 0.95 or below 0.52: a → b (0.99), b → a (0.50)")
    assert map_warnings(cells_of(ab=curve(0.8), ba=None)) == []


def test_board_warns(tmp_path):
    """The warning stands among the notes of the table and of the page."""
    expected, records = [cell("tmt", "a->b")], [record("tmt", "a->b", 0.5, curve=curve(0.99))]
    out = build(tmp_path, expected=expected, records=records)
    for name in ("leaderboard.md", "index.html"):
        assert "map of transferability is uninformative on 1 of 1 cells" in (out / name).read_text(), name


def test_measures_have_charts():
    """One per measure, behind those of the losses."""
    assert [chart.term for chart in learning(cells_of(ab=curve(0.5, 0.9)))[0].charts] == ["tmt/region", "tmt/accuracy"]
