"""reports/index.html, the page of all boards: exact rows from the files beside the boards, safe names, equal bytes."""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT
from test_board import EXPECTED, RECORDS, cell, record
from test_page import PAYLOAD, REACHES_OUT, words

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.reporting.about import About
from xdseg.reporting.board import build_board
from xdseg.reporting.front import front_html, read_board
from xdseg.stages.front import front

CLASSES = ("background", "vessel")
BOARDS = re.compile(r"""href\s*=\s*["'](?!#|data:)([^"']*)["']""")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Two boards: one with a hole, and one of an oracle and two peers on two pairs, the better one over its host."""
    build_board(suite="vessels", classes=CLASSES, expected=EXPECTED, records=RECORDS, out=tmp_path / "holes")
    settings = {"host": "source", "better": "uda", "best": "oracle"}
    expected = [
        cell(method, pair, setting=setting) for method, setting in settings.items() for pair in ("a->b", "b->a")
    ]
    iou = {"host": (0.5, 0.3), "better": (0.7, 0.4), "best": (0.9, 0.9)}
    records = [
        record(one["method"], f"{one['source']}->{one['target']}", iou[one["method"]][one["target"] == "a"])
        | {"setting": one["setting"]}
        for one in expected
    ]
    about = About(peers={"better": {"host": "host"}})
    build_board(
        suite="vessels", classes=CLASSES, expected=expected, records=records, out=tmp_path / "whole", about=about
    )
    return tmp_path


def test_each_board_shows_its_best_rows_with_gain_and_minutes(reports):
    """better: (80 + 65) / 2; host: (70 + 60) / 2; the oracle comes last; the gain is (10 + 5) / 2; 90 s are 1.5 min."""
    board = read_board(reports / "whole")
    assert board.ranked == ["best", "better", "host"] and board.minutes == {"best": 1.5, "better": 1.5, "host": 1.5}
    assert front(reports)
    shown = words((reports / "index.html").read_text())
    first = shown.index("whole 3 methods, 2 pairs, 1 seed; on cpu")
    assert re.search(
        r"better uda 72\.50 \+7\.50 over host \S+ to \S+ 1\.5 host source 65\.00 – 1\.5 best oracle 90\.00 – 1\.5",
        shown[first:],
    )
    assert "holes 2 methods, 2 pairs, 1–2 seeds; 1 without a mean; on cpu" in shown[:first], "boards stand by name"


def test_every_method_has_a_line_with_a_number_per_board(reports):
    """fancy lacks a pair of its board, and is no row of the other."""
    front(reports)
    shown = words((reports / "index.html").read_text())
    assert "method holes whole best 90.00 better 72.50 fancy no mean host 65.00 plain 65.00" in shown


def test_the_page_leads_to_its_boards_and_nowhere_else(reports):
    """Relative links only, no request, no pixel; its bytes depend on the boards alone."""
    front(reports)
    text = (reports / "index.html").read_text()
    assert BOARDS.findall(text) == ["holes/index.html", "whole/index.html"]
    assert not REACHES_OUT.search(BOARDS.sub("", text)) and not PAYLOAD.search(text)
    assert "default-src 'none'" in text and not front(reports)


def test_names_cannot_break_it(reports):
    """A method and a folder with markup in their names."""
    evil = "<img src=x>&'"
    rows = json.loads((reports / "whole/leaderboard.json").read_text())
    (reports / evil).mkdir()
    (reports / evil / "leaderboard.json").write_text(json.dumps({f"{evil}{name}": row for name, row in rows.items()}))
    front(reports)
    text = (reports / "index.html").read_text()
    assert "<img" not in text and "%3Cimg%20src%3Dx%3E%26%27/index.html" in text
    assert f"{evil}best" in words(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"m": {"setting": "uda"}}', '{"m": 3}'])
def test_what_is_no_board_is_refused_in_a_line(reports, text, capsys):
    """The file is named, and the page is left as it was."""
    front(reports)
    before = (reports / "index.html").read_bytes()
    (reports / "whole/leaderboard.json").write_text(text)
    with pytest.raises(BadInput, match=r"^[^\n]*whole/leaderboard\.json: [^\n]*build the board again[^\n]*$"):
        front(reports)
    assert (reports / "index.html").read_bytes() == before
    assert main(["front", str(reports)]) == 2 and "leaderboard.json" in capsys.readouterr().err


def test_a_board_without_its_other_files_is_shown_without_gains_and_costs(reports):
    """leaderboard.json alone is enough, as of boards of earlier versions."""
    for name in ("gains.csv", "costs.csv"):
        (reports / "whole" / name).unlink()
    board = read_board(reports / "whole")
    assert (board.gains, board.minutes, board.devices) == ({}, {}, ())
    assert "better uda 72.50 – –" in words(front_html([board]))


def test_the_committed_page_is_that_of_the_committed_boards():
    """`xdseg front` would change nothing."""
    boards = [read_board(path.parent) for path in sorted((ROOT / "reports").glob("*/leaderboard.json"))]
    assert (ROOT / "reports/index.html").read_text() == front_html(boards)
