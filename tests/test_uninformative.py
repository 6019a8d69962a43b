"""The warning of a map of transferability that tells nothing, and its measures among the curves."""

import pytest
from test_board import CLASSES, build, cell, record

from xdseg.reporting.cells_table import collect
from xdseg.reporting.page_curves import learning
from xdseg.reporting.uninformative import ACCURACY, at_the_end, map_warnings


def curve(*values, measure="tmt/accuracy"):
    """A curve with these accuracies, or values of another measure."""
    steps = list(range(1, len(values) + 1))
    return {"step": steps, "lr": steps, "losses": {"tmt/region": steps}, "measures": {measure: list(values)}}


def cells_of(**curves):
    """Cells of the method `tmt`, by pair `ab`."""
    pairs = {f"{pair[0]}->{pair[1]}": found for pair, found in curves.items()}
    records = [record("tmt", pair, 0.5, curve=found) for pair, found in pairs.items()]
    return collect([cell("tmt", pair) for pair in pairs], records, suite="vessels", classes=CLASSES)


def test_the_last_quarter_counts():
    """Of eight points the last two; without a curve, or measures in it, there is nothing to say."""
    assert at_the_end({"curve": curve(*[0.5] * 6, 0.8, 1.0)}, ACCURACY) == pytest.approx(0.9)
    assert at_the_end({"curve": curve(0.7)}, ACCURACY) == 0.7
    assert at_the_end({"curve": None}, ACCURACY) is None and at_the_end({}, ACCURACY) is None
    assert at_the_end({"curve": {"losses": {"a/b": [1]}}}, ACCURACY) is None


def test_warning_names_pairs_and_numbers():
    """Above 0.95 and below 0.52; on the bounds a map still counts."""
    found = map_warnings(cells_of(ab=curve(0.99), ba=curve(0.5), ac=curve(0.95), ca=curve(0.52), bc=None))
    assert [method for method, _ in found] == ["tmt"]
    assert "uninformative on 2 of 4 cells" in found[0][1]
    assert found[0][1].endswith("above 0.95 or below 0.52: a → b (0.99), b → a (0.50)")
    assert map_warnings(cells_of(ab=curve(0.8), ba=None)) == []


def test_a_flat_need_is_told():
    """Below a hundredth; a record without the measure has no say."""
    faint, clear = curve(0.0004, measure="tmt/contrast"), curve(0.01, measure="tmt/contrast")
    found = map_warnings(cells_of(ab=faint, ba=clear, ac=curve(0.8)))
    assert [method for method, _ in found] == ["tmt"]
    assert "hardly differs from place to place on 1 of 2 cells" in found[0][1]
    assert found[0][1].endswith("being below 0.01: a → b (0.0004)")


def test_even_transferability_is_told():
    """Below a hundredth the need is uncertainty alone, whatever the discriminator's accuracy."""
    even, clear = curve(*[0.2] * 3, 0.0021, measure="tmt/spread"), curve(0.01, measure="tmt/spread")
    found = map_warnings(cells_of(ab=even, ba=clear, ac=curve(0.8)))
    assert [method for method, _ in found] == ["tmt"]
    assert "hardly differs from region to region on 1 of 2 cells" in found[0][1]
    assert found[0][1].endswith("so that the need is uncertainty alone: a → b (0.002)")


def test_board_warns(tmp_path):
    """The warning stands among the notes of the table and of the page."""
    expected, records = [cell("tmt", "a->b")], [record("tmt", "a->b", 0.5, curve=curve(0.99))]
    out = build(tmp_path, expected=expected, records=records)
    for name in ("leaderboard.md", "index.html"):
        assert "map of transferability is uninformative on 1 of 1 cells" in (out / name).read_text(), name


def test_measures_have_charts():
    """One per measure, behind those of the losses."""
    assert [chart.term for chart in learning(cells_of(ab=curve(0.5, 0.9)))[0].charts] == ["tmt/region", "tmt/accuracy"]
