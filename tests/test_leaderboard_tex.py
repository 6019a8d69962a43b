"""The table for papers: exact text, marks where they are earned, names that cannot break it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_board import EXPECTED, RECORDS, build, cell, entered, record
from test_gains import board
from test_ranks import BY_HAND

from xdseg.reporting.leaderboard_tex import tex

HOSTILE = "a_b & 50% of $x^2$ #1 {~} \\end"


def body(folder: Path) -> list[str]:
    """The table's rows."""
    text = (folder / "leaderboard.tex").read_text()
    return re.search(r"\\midrule\n(.*)\n\\bottomrule", text, re.DOTALL)[1].split("\n")


def test_the_whole_file(tmp_path):
    """Fancy lacks a seed on b->a, hence that cell and its mean; a dagger on what was entered."""
    out = build(tmp_path, records=[*RECORDS, entered("their-net", "a->b", 0.7), entered("their-net", "b->a", 0.7)])
    assert (out / "leaderboard.tex").read_text() == "\n".join(
        [
            "% Board vessels, suite vessels, benchmark version 0.1.0.",
            "% Cells are mIoU in %, means over seeds; -- is a cell that is missing, or a mean that lacks one.",
            "% Bold, or underlined: the tests of ranks.csv leave the first, or second, rank to this method alone. "
            "Without marks",
            "% they do not separate it from all others. They are about the mean over pairs, so that no single pair is "
            "marked.",
            r"% Needs \usepackage{booktabs}.",
            "% Not ranked: fancy.",
            "% A dagger: scored from prediction files of other code.",
            r"\begin{tabular}{lrrr}",
            r"\toprule",
            r"Method & b $\rightarrow$ a & a $\rightarrow$ b & Mean \\",
            r"\midrule",
            r"their-net$^\dagger$ & 80.00 & 80.00 & 80.00 \\",
            r"plain & 60.00 & 70.00 & 65.00 \\",
            r"fancy & -- & 85.00 & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def test_only_what_is_separable_is_marked(tmp_path):
    """The best is apart from all; mid, the second, has a twin. Without it the second has its rank to itself."""
    rows = body(board(tmp_path / "1", BY_HAND))
    assert [row.split(" & ")[-1] for row in rows] == [r"\textbf{90.00} \\", r"70.25 \\", r"70.25 \\", r"50.75 \\"]
    rows = body(board(tmp_path / "2", {key: value for key, value in BY_HAND.items() if key[0] != "twin"}))
    assert [row.split(" & ")[-1] for row in rows] == [r"\textbf{90.00} \\", r"\underline{70.25} \\", r"50.75 \\"]
    rows = body(board(tmp_path / "3", {key: value for key, value in BY_HAND.items() if key[0] in ("twin", "mid")}))
    assert all("{" not in row for row in rows), "the higher of two that are not separable has no mark"


def test_more_than_eight_pairs_leave_the_mean(tmp_path):
    """Nine targets of one source: two columns; eight: ten."""
    for targets, columns in (("bcdefghij", 2), ("bcdefghi", 10)):
        pairs = [f"a->{target}" for target in targets]
        out = build(tmp_path / targets, expected=[cell("m", pair) for pair in pairs],
                    records=[record("m", pair, 0.5) for pair in pairs])  # fmt: skip
        assert body(out)[0].count("&") == columns - 1
        assert (r"\begin{tabular}{l" + "r" * (columns - 1) + "}") in (out / "leaderboard.tex").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50% #1 ${x}$", r"a\_b \& 50\% \#1 \$\{x\}\$"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("<|>", r"\textless{}\textbar{}\textgreater{}"),
        ("[x]", "{[}x{]}"),
        ("a---b", "a-{}-{}-b"),
        ("two\n lines", "two lines"),
    ],
)
def test_what_means_something_to_latex_is_escaped(text, expected):
    """Also what would become a dash, or an option after a line's end."""
    assert tex(text) == expected


def hostile(folder: Path) -> Path:
    """A board with a row, and a suite, whose names mean something to LaTeX."""
    records = [*RECORDS, entered(HOSTILE, "a->b", 0.7), entered("[t]", "a->b", 0.7)]
    records = [one | {"suite": "odd\n\\suite"} for one in records]
    return build(folder, expected=EXPECTED, records=records, suite="odd\n\\suite")


def test_names_cannot_break_the_table(tmp_path):
    """Every row has as many columns as the head, braces are balanced, and comments stay on their lines."""
    text = (hostile(tmp_path) / "leaderboard.tex").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0].startswith(r"\begin{tabular}") and lines[-1] == r"\end{tabular}"
    rows = [line for line in lines if line.endswith(r"\\")]
    bare = [re.sub(r"\\[&%$#_{}]", "", row) for row in rows]
    assert len(rows) == 5 and {row.count("&") for row in bare} == {3}
    for row in bare:
        assert row.count("{") == row.count("}") and not re.search(r"[%#_~]", row)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_sets_it(tmp_path):
    """A document of the table alone."""
    table = (hostile(tmp_path) / "leaderboard.tex").read_text()
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{head}{table}\\end{{document}}\n")
    done = subprocess.run(["pdflatex", "-halt-on-error", "paper.tex"], cwd=tmp_path, capture_output=True, text=True)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("needs booktabs")
    assert done.returncode == 0, done.stdout[-2000:]
