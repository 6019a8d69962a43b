"""`xdseg compare`: paired differences by hand, what is on one side alone, commits, bad input."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from test_board import CLASSES, EXPECTED, RECORDS, build, cell, entered, record

from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.reporting.cells_table import cells_csv, collect
from xdseg.reporting.compare import Board, compare, read_board
from xdseg.reporting.verdicts import judge

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
    """fancy: +2 and -1 on a->b, 0 on b->a seed 1; pairs count alike: 1/4. B alone has b->a seed 0, left out."""
    fancy, plain, new = compare(*sides())
    assert (fancy.method, fancy.differences, fancy.better) == ("fancy", (2.0, -1.0, 0.0), 1)
    assert fancy.difference == pytest.approx(1 / 4)
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
        assert line.difference == (None if other.difference is None else -other.difference)
        assert (line.estimate.error, line.estimate.df) == (other.estimate.error, other.estimate.df)


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
    """What the terminal shows, and the same for machines.

    By hand: fancy's gains on two pairs are 0.5 and 0, so their mean is 0.25, its standard error 0.25 and t(1) is 1,
    whose p is 0.5; 12.706 and 16.33 errors are the interval's half and what is detectable. All methods: on a -> b seed
    0 is the mean of 2 and 0, on b -> a only fancy has a value, 0; the same t. Holm doubles both p.
    """
    assert main(["compare", "vessels", "again"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "A  vessels  (reports/vessels/cells.csv)" and lines[1].startswith("B  again")
    assert lines[3].split() == [
        *("fancy", "–", "82.75", "+0.25", "-2.93", "to", "+3.43", "1.000"),
        *("1/3", "1", "2", "1", "noise,", "detectable", "4.08"),
    ]
    assert lines[4].split() == ["plain", "65.00", "–", "0.00", "0/1", "1", "1", "same"]
    assert lines[5].split()[-3:] == ["nothing", "in", "common"]
    assert lines[6].split()[:9] == ["all", "methods", "–", "–", "+0.50", "-5.85", "to", "+6.85", "1.000"]
    assert main(["compare", "vessels", "again", "--pairs"]) == 0
    assert any(line.split()[:2] == ["fancy", "b->a"] for line in capsys.readouterr().out.splitlines())
    assert main(["compare", "vessels", "again", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"][0] == {
        **{"method": "fancy", "a": None, "b": 82.75, "difference": 0.25, "paired": 3, "better": 1},
        **{"unpaired": 0, "unchanged": 1, "changed": 2, "unequal": 0, "only_a": 0, "only_b": 1},
        **{"low": -2.93, "high": 3.43, "interval": "pairs, two-way clusters, 1 df", "reason": ""},
        **{"verdict": "noise", "detectable": 4.08, "p": 0.5, "p_holm": 1.0},
    }
    assert [line["verdict"] for line in found["methods"]] == ["noise", "same", "nothing in common"]
    assert (found["total"]["difference"], found["total"]["verdict"]) == (0.5, "noise")
    verdicts = {(line["method"], line["pair"]): line["verdict"] for line in found["pairs"]}
    assert verdicts["fancy", "a->b"] == "noise" and verdicts["fancy", "b->a"] == "same"
    assert [line["pair"] for line in found["pairs"] if line["method"] == "fancy"] == ["b->a", "a->b"]


def test_an_entered_row_shifts_no_mean(boards):
    """A pair that only an entered row has is no pair of the board."""
    build(Path("reports/more"), records=[*RECORDS, entered("their-net", "c->b", 0.5)])
    more = sides("more", "more")[0]
    assert more.pairs == [("b", "a"), ("a", "b")] and more.mean("plain") == 65.0


def board_of(*scores: tuple[str, int, float], method: str = "m") -> Board:
    """A board of one method by pair, seed and mIoU in percent, by way of its cells.csv."""
    records = [record(method, pair, 2 * miou / 100 - 0.9, seed=seed) for pair, seed, miou in scores]
    text = cells_csv(collect([], records, suite="vessels", classes=CLASSES), CLASSES)
    return read_board(text, name="x", place="x")


def verdict(a: Board, b: Board) -> tuple[str, float | None]:
    """What the one line of two boards amounts to, and its difference."""
    (judged,) = judge(compare(a, b))
    return judged.verdict, judged.line.difference


def test_the_verdicts_on_one_pair():
    """By hand, over seeds: 1, 2, 3 has s / sqrt 3 = 0.577, t(2) = 3.46 below 4.30; 2, 2.1, 1.9 has t = 34.6."""
    a = board_of(("a->b", 0, 50), ("a->b", 1, 60), ("a->b", 2, 55))
    assert verdict(a, a) == ("same", 0)
    assert verdict(a, board_of(("a->b", 0, 51), ("a->b", 1, 62), ("a->b", 2, 58))) == ("noise", 2)
    assert verdict(a, board_of(("a->b", 0, 52), ("a->b", 1, 62.1), ("a->b", 2, 56.9)))[0] == "better"
    assert verdict(a, board_of(("a->b", 0, 48), ("a->b", 1, 57.9), ("a->b", 2, 53.1)))[0] == "worse"
    assert verdict(a, board_of(("a->b", 0, 58))) == ("no spread to judge", 8)
    assert verdict(a, board_of(("a->b", 0, 51), ("a->b", 1, 61), ("a->b", 2, 56))) == ("no spread to judge", 1)
    assert verdict(a, board_of(("b->a", 0, 58))) == ("nothing in common", None)


def test_other_seeds_are_compared_by_their_means():
    """No seed in common: 50, 52 and 60, 63, 66. Means 51 and 63; errors 1 and sqrt 3; Welch's t = 12 / 2, df 2.94."""
    a, b = board_of(("a->b", 0, 50), ("a->b", 1, 52)), board_of(("a->b", 2, 60), ("a->b", 3, 63), ("a->b", 4, 66))
    (line,) = compare(a, b)
    assert (line.difference, line.estimate.error, line.estimate.df) == (12, pytest.approx(2), 2)
    assert (line.differences, line.unpaired, line.only_a, line.only_b) == ((), 1, 2, 3)
    assert verdict(a, b)[0] == "better" and verdict(b, a)[0] == "worse"
    assert verdict(a, board_of(("a->b", 7, 90)))[0] == "no spread to judge"


def test_one_seed_each_is_judged_over_pairs():
    """Three pairs from one source: gains 2, 3, 4; mean 3, error 1 / sqrt 3, t(2) = 5.196, p = 0.035."""
    pairs = ("s->a", "s->b", "s->c")
    a = board_of(*((pair, 0, 50) for pair in pairs))
    b = board_of(*((pair, 0, 52 + at) for at, pair in enumerate(pairs)))
    (judged,) = judge(compare(a, b))
    assert (judged.verdict, judged.line.difference) == ("better", 3)
    assert judged.holm == pytest.approx(0.0351, abs=1e-4)


def test_several_methods_make_a_verdict_harder():
    """The same gain beside two more lines: Holm's p is three times 0.035, and the word is noise."""
    pairs = ("s->a", "s->b", "s->c")
    cells = [(method, pair) for method in ("m", "n", "o") for pair in pairs]
    texts = []
    for gains in ((0, 0, 0), (2, 3, 4)):
        gained = {("m", pair): gain for pair, gain in zip(pairs, gains, strict=True)}
        gained |= {("n", pair): gain for pair, gain in zip(pairs, (0, 5 * gains[0], -9), strict=True)}
        gained |= {("o", pair): gain for pair, gain in zip(pairs, (-8, gains[0], 7), strict=True)}
        records = [record(m, pair, 2 * (50 + gained[m, pair]) / 100 - 0.9) for m, pair in cells]
        texts.append(cells_csv(collect([], records, suite="vessels", classes=CLASSES), CLASSES))
    judged = judge(compare(*(read_board(text, name="x", place="x") for text in texts)))
    assert judged[0].line.estimate.interval[0] > 0 and judged[0].verdict == "noise"
    assert judged[0].holm == pytest.approx(3 * 0.0351, abs=3e-4)


def test_two_methods_of_one_board(boards, capsys):
    """fancy to plain: 90 to 70 on a->b seed 0; no seed in common on b->a, where 85 to 60 are the means."""
    assert main(["compare", "vessels", "--methods", "fancy", "plain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (line,) = found["methods"]
    assert (line["method"], line["difference"], line["paired"], line["unpaired"]) == ("fancy → plain", -22.5, 1, 1)
    assert (line["a"], line["b"], line["verdict"], found["total"]) == (None, 65.0, "noise", None)
    assert [found[side]["name"] for side in "ab"] == ["vessels, fancy", "vessels, plain"]
    assert main(["compare", "vessels", "again", "--methods", "plain", "fancy", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["methods"]
    assert line["difference"] == (92 - 70 + 75 - 60) / 2, "plain of A, fancy of B"
    assert main(["compare", "vessels", "--methods", "fancy", "plane"]) == 2
    assert "reports/vessels/cells.csv: no method 'plane'; did you mean 'plain'?" in capsys.readouterr().err
    assert main(["compare", "vessels"]) == 2
    assert "name a second board, or two methods of this one" in capsys.readouterr().err


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
