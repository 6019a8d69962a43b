"""`xdseg compare`: paired differences by hand, what is on one side alone, commits, bad input."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from test_board import EXPECTED, RECORDS, build, cell, entered, record

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.reporting.compare import compare, read_board

# B: fancy's two seeds on a->b gain 2 and lose 1 points under new fingerprints, plain is as it was, but lost b->a
NEW = {"train": "a2" * 32, "predict": "b3" * 32, "score": "c4" * 32}
CHANGED = [
    record("fancy", "a->b", 0.94, seed=0, fingerprints=NEW),  # 90 -> 92
    record("fancy", "a->b", 0.68, seed=1, fingerprints=NEW),  # 80 -> 79
    record("fancy", "b->a", 0.6, seed=0),  # not in A: 75
    record("fancy", "b->a", 0.8, seed=1),
    record("plain", "a->b", 0.5),
    record("new", "a->b", 0.5),
]


@pytest.fixture
def boards(tmp_path, monkeypatch) -> Path:
    """reports/vessels (A) and reports/again (B), in a folder with params.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    build(Path("reports/vessels"))
    build(Path("reports/again"), expected=[*EXPECTED, cell("new", "a->b")], records=CHANGED)
    Path("params.yaml").write_text(yaml.safe_dump({"grid": {"suite": "vessels"}}))
    return tmp_path


def sides(a: str = "vessels", b: str = "again"):
    texts = [Path(f"reports/{name}/cells.csv").read_text() for name in (a, b)]
    return [read_board(text, name=name, place=name) for name, text in zip((a, b), texts, strict=True)]


def test_differences_are_paired(boards):
    """fancy: +2 and -1 on a->b and 0 on b->a seed 1, mean 1/3; B alone has b->a seed 0, which is left out."""
    fancy, plain, new = compare(*sides())
    assert (fancy.method, fancy.differences, fancy.better) == ("fancy", (2.0, -1.0, 0.0), 1)
    assert fancy.difference == pytest.approx(1 / 3)
    assert (fancy.unchanged, fancy.changed, fancy.unequal, fancy.only_a, fancy.only_b) == (1, 2, 0, 0, 1)
    assert (fancy.a, fancy.b) == (None, pytest.approx((85.5 + 80) / 2)), "A lacks a seed, so it has no mean"
    assert (plain.a, plain.b, plain.differences, plain.only_a) == (65.0, None, (0.0,), 1)
    assert (new.a, new.b, new.difference, new.only_b) == (None, None, None, 1)


def test_sides_swapped_change_their_signs(boards):
    """B against A: every difference and every one-sided count turned around."""
    lines = {line.method: line for line in compare(*sides())}
    for line in compare(*sides()[::-1]):
        other = lines[line.method]
        assert line.differences == tuple(-value for value in other.differences)
        assert (line.only_a, line.only_b, line.a, line.b) == (other.only_b, other.only_a, other.b, other.a)


def test_a_board_beside_itself(boards):
    """Nothing differs, nothing changed."""
    for line in compare(*sides("vessels", "vessels")):
        assert set(line.differences) == {0.0} and line.changed == line.only_a == line.only_b == 0


def test_pairs_add_up_to_methods(boards):
    """The lines per pair hold the same cells as the lines per method."""
    whole, parts = compare(*sides()), compare(*sides(), by_pair=True)
    assert [(line.method, line.pair) for line in parts][:2] == [("fancy", ("b", "a")), ("fancy", ("a", "b"))]
    for line in whole:
        own = [part for part in parts if part.method == line.method]
        assert sorted(line.differences) == sorted(value for part in own for value in part.differences)
        assert line.changed == sum(part.changed for part in own) and line.only_b == sum(part.only_b for part in own)


def test_one_fingerprint_with_two_scores_is_told(boards, capsys):
    """It should not happen on one machine, so it is said."""
    build(Path("reports/odd"), records=[record("plain", "a->b", 0.6)], expected=EXPECTED[4:])
    assert main(["compare", "vessels", "odd"]) == 0
    assert "1 cells have one fingerprint and two scores" in capsys.readouterr().out


def test_the_table_and_its_json(boards, capsys):
    """What the terminal shows, and the same for machines."""
    assert main(["compare", "vessels", "again"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "A  vessels  (reports/vessels/cells.csv)" and lines[1].startswith("B  again")
    assert lines[3].split() == ["fancy", "–", "82.75", "+0.33", "1/3", "1", "2", "1"]
    assert lines[4].split() == ["plain", "65.00", "–", "0.00", "0/1", "1", "1"]
    assert main(["compare", "vessels", "again", "--pairs"]) == 0
    assert any(line.split()[:2] == ["fancy", "b->a"] for line in capsys.readouterr().out.splitlines())
    assert main(["compare", "vessels", "again", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"][0] == {
        **{"method": "fancy", "a": None, "b": 82.75, "difference": 0.33, "paired": 3, "better": 1},
        **{"unchanged": 1, "changed": 2, "unequal": 0, "only_a": 0, "only_b": 1},
    }
    assert [line["pair"] for line in found["pairs"] if line["method"] == "fancy"] == ["b->a", "a->b"]


def test_an_entered_row_shifts_no_mean(boards):
    """A pair that only an entered row has is no pair of the board."""
    build(Path("reports/more"), records=[*RECORDS, entered("their-net", "c->b", 0.5)])
    more = sides("more", "more")[0]
    assert more.pairs == [("b", "a"), ("a", "b")] and more.mean("plain") == 65.0


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@x", *arguments], check=True, capture_output=True)


def test_commits_are_boards_too(boards, capsys):
    """REV:board, REV with the board of the other side, REV with the suite of params.yaml."""
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    build(Path("reports/vessels"), records=[record("plain", "a->b", 0.7), RECORDS[4]], expected=EXPECTED[4:])
    for sides_given in (("HEAD:vessels", "vessels"), ("HEAD", "vessels"), ("HEAD", "./reports/vessels")):
        assert main(["compare", *sides_given, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [line["difference"] for line in found["methods"]] == [None, 5.0], sides_given
        assert found["a"]["place"].endswith(":reports/vessels/cells.csv")
    assert main(["compare", "HEAD:nothing", "vessels"]) == 2
    assert "has no reports/nothing/cells.csv; name a board that it has" in capsys.readouterr().err


def test_presets_name_their_board(boards, capsys):
    """A preset over params.yaml, by its board or its suite; a board not yet made names the command."""
    Path("again.yaml").write_text("grid: {board: again}\n")
    Path("later.yaml").write_text("grid: {board: later}\n")
    assert main(["compare", "vessels", "again.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["place"] == "reports/again/cells.csv"
    assert main(["compare", "vessels", "later.yaml"]) == 2
    error = capsys.readouterr().err
    assert error == "xdseg: reports/later/cells.csv: no such file; run `snakemake --configfile later.yaml` first\n"
    assert main(["compare", "vessels", "none.yaml"]) == 2
    assert capsys.readouterr().err == "xdseg: none.yaml: no such file\n"


@pytest.mark.parametrize("side", ["nothing", "--help-me", "HEAD:vessels"])
def test_what_is_no_board_is_one_line(boards, capsys, side):
    """No board, no preset, no commit: the boards that are there are named."""
    assert main(["compare", "vessels", "--", side]) == 2
    assert capsys.readouterr().err == f"xdseg: {side}: no board, preset or commit; boards here are again, vessels\n"


def test_boards_of_two_suites_are_not_compared(boards, capsys):
    """They have no pair in common."""
    build(Path("reports/other"), expected=[cell("m", "x->y")], records=[record("m", "x->y", 0.5)])
    assert main(["compare", "vessels", "other"]) == 2
    assert "no pair in common; compare boards of one suite" in capsys.readouterr().err


HEADER = "method,setting,source,target,seed,status,miou,pixel_accuracy,score,origin"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("method,source\nm,a\n", "lacks column 'target'"),
        (f"{HEADER}\n", "no cell in it"),
        (f"{HEADER}\nm,source,a,b,0,ok,high,1,c3,run\n", "line 2: could not convert"),
        (f"{HEADER}\nm,source,a,b,0,ok,1,1,c3,run\nm,source,a,b,0,ok,1,1,c3,run\n", "line 3: a second line for one"),
        (f"{HEADER}\nm,source\n", "line 2: "),
    ],
)
def test_a_damaged_board_is_named(text, finding):
    """File, line and mend."""
    with pytest.raises(BadInput, match=r"^cells\.csv: ") as error:
        read_board(text, name="x", place="cells.csv")
    assert finding in str(error.value) and str(error.value).endswith("build the board again")
