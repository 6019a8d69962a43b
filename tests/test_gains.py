"""Gains on a board: exact intervals of a small one, what is missing, where they are shown, equal bytes."""

import csv
import random
from math import sqrt
from pathlib import Path

import pytest
from scipy import stats
from test_board import CLASSES, build, cell, record

from xdseg.reporting.about import About
from xdseg.reporting.board import build_board
from xdseg.reporting.cells_table import collect
from xdseg.reporting.gains import gains
from xdseg.reporting.gains_table import COLUMNS, signed
from xdseg.reporting.leaderboard import rank
from xdseg.reporting.statistics.clusters import over_pairs

ROLES = {"host": "plain", "floor": "plain", "ceiling": "best"}
PEERS = {"new": ROLES, "best": {"floor": "plain"}, "plain": {}}


def board(folder: Path, values: dict[tuple[str, str, int], float], *, peers=PEERS, missing=(), order=None) -> Path:
    """A board of mIoU by method, pair and seed, in points; `missing` are wanted and have no record."""
    wanted = [*values, *missing]
    expected = [cell(method, pair, seed) for method, pair, seed in wanted]
    records = [record(m, p, value / 50 - 0.9, seed=seed) for (m, p, seed), value in values.items()]
    records = random.Random(order).sample(records, len(records)) if order else records
    build_board(
        suite="vessels", classes=CLASSES, expected=expected, records=records, out=folder, about=About(peers=peers)
    )
    return folder


def lines(folder: Path) -> dict[str, dict[str, str]]:
    return {line["method"]: line for line in csv.DictReader((folder / "gains.csv").open(newline=""))}


# one source, three targets, one seed: gains of `new` 2, 4, 6 and of `best` 10, 10, 13
ONE_SOURCE = {
    **{("plain", f"a->{target}", 0): 50.0 for target in "bcd"},
    **{("new", f"a->{target}", 0): 50.0 + gain for target, gain in zip("bcd", (2, 4, 6), strict=True)},
    **{("best", f"a->{target}", 0): 50.0 + gain for target, gain in zip("bcd", (10, 10, 13), strict=True)},
}
# one pair, three seeds of `new`, two of which `plain` has
ONE_PAIR = {
    **{("new", "a->b", seed): value for seed, value in enumerate((53.0, 55.0, 99.0))},
    **{("plain", "a->b", seed): value for seed, value in enumerate((50.0, 51.0))},
}


def test_a_board_of_one_source_by_hand(tmp_path):
    """2, 4, 6: mean 4, standard error 2 / sqrt 3, t with 2 df; Holm doubles the smaller p; 4 of a gap of 11."""
    found = lines(board(tmp_path, ONE_SOURCE))
    half = stats.t.ppf(0.975, 2) * 2 / sqrt(3)
    p = {name: stats.ttest_1samp(gains, 0).pvalue for name, gains in {"new": [2, 4, 6], "best": [10, 10, 13]}.items()}
    assert p["best"] < p["new"] < 2 * p["new"]
    assert found["new"] == {
        **{"method": "new", "against": "plain", "role": "host", "pairs": "3/3", "seeds": "1", "gain": "4.00"},
        **{"low": f"{4 - half:.2f}", "high": f"{4 + half:.2f}", "interval": "pairs, clusters by target, 2 df"},
        **{"p": f"{p['new']:.4f}", "p_holm": f"{p['new']:.4f}", "p_wilcoxon": "0.2500"},
        **{"detectable": f"{5.653489 * 2 / sqrt(3):.2f}", "better": "3", "gap_closed": "36.36", "note": ""},
    }
    assert found["best"]["p_holm"] == f"{2 * p['best']:.4f}" and found["best"]["role"] == "floor"
    assert "plain" not in found, "it names no row"


def test_every_estimate_is_made_once(monkeypatch):
    """`new` over its host, which is its floor too; the ceiling over the floor; `best` over its own: three, not six."""
    made = []
    monkeypatch.setattr("xdseg.reporting.gains.over_pairs", lambda by_pair: made.append(by_pair) or over_pairs(by_pair))
    wanted = [cell(method, pair, seed) for method, pair, seed in ONE_SOURCE]
    records = [record(m, p, value / 50 - 0.9, seed=seed) for (m, p, seed), value in ONE_SOURCE.items()]
    cells = collect(wanted, records, suite="vessels", classes=CLASSES)
    found = gains(rank(cells, CLASSES), cells, About(peers=PEERS))
    assert [round(100 * found[name].mean) for name in ("new", "best")] == [4, 11] and found["new"].holm is not None
    assert len(made) == 3


def test_one_pair_has_an_interval_over_seeds(tmp_path):
    """Seed 2 is wanted of `new` alone: gains 3 and 4, mean 3.5, standard error 0.5, one degree of freedom."""
    found = lines(board(tmp_path, ONE_PAIR))["new"]
    half = 0.5 * stats.t.ppf(0.975, 1)
    assert (found["gain"], found["low"], found["high"]) == ("3.50", f"{3.5 - half:.2f}", f"{3.5 + half:.2f}")
    assert (found["seeds"], found["interval"], found["p_wilcoxon"]) == ("2", "seeds, t, 1 df", "")
    assert found["gap_closed"] == "" and "the board has no row of the ceiling" in found["note"]


def test_one_pair_and_seed_have_a_gain_without_interval(tmp_path):
    """The number is shown, and why nothing can be said of its spread."""
    found = lines(board(tmp_path, {key: value for key, value in ONE_PAIR.items() if key[2] == 0}))["new"]
    assert (found["gain"], found["interval"], found["p"], found["p_holm"], found["detectable"]) == ("3.00", *[""] * 4)
    assert found["note"].startswith("one seed: no spread to judge by")


@pytest.mark.parametrize(
    ("missing", "lacks"),
    [
        (("plain", "a->d", 0), "lacks a → d (seed 0 of plain)"),
        (("new", "a->d", 0), "lacks a → d (seed 0 of new)"),
    ],
)
def test_a_missing_cell_leaves_no_mean_and_is_named(tmp_path, missing, lacks):
    """A mean over the other pairs would be of another subset than its neighbours'."""
    found = lines(board(tmp_path, {k: v for k, v in ONE_SOURCE.items() if k != missing}, missing=[missing]))["new"]
    assert (found["pairs"], found["gain"], found["interval"], found["better"]) == ("2/3", "", "", "")
    assert found["note"] == lacks


def test_rows_that_share_no_seed_are_not_compared(tmp_path):
    """Seed 1 of one, seed 0 of the other, and a pair that one cannot have: each in words."""
    values = {("plain", "a->b", 0): 50.0, ("plain", "b->a", 0): 50.0, ("new", "a->b", 1): 60.0}
    found = lines(board(tmp_path, values))["new"]
    assert found["gain"] == "" and found["note"] == "lacks b → a (no such cell of new); a → b (no seed in common)"


def test_pairs_count_alike_whatever_their_seeds(tmp_path):
    """a->b gains 2 and 4 over two seeds, b->a 9 over one: the mean is (3 + 9) / 2."""
    values = {("plain", "a->b", 0): 50.0, ("plain", "a->b", 1): 51.0, ("plain", "b->a", 0): 50.0}
    gained = {("new", *key[1:]): value + gain for (key, value), gain in zip(values.items(), (2, 4, 9), strict=True)}
    found = lines(board(tmp_path, values | gained))["new"]
    assert (found["gain"], found["seeds"], found["interval"]) == ("6.00", "1-2", "pairs, two-way clusters, 1 df")


def test_the_gap_is_of_the_same_seeds(tmp_path):
    """Floor and method have seeds 0, 1, 2, the ceiling 0 and 1: (9 + 12) of (20 + 22), whatever seed 2 gives.

    A ceiling with one seed leaves a gap without spread; one with other seeds none, in words that suit every method.
    """
    values = {("plain", "a->b", seed): 50.0 for seed in (0, 1, 2)}
    values |= {("new", "a->b", seed): value for seed, value in enumerate((59.0, 62.0, 90.0))}
    found = lines(board(tmp_path / "1", values | {("best", "a->b", 0): 70.0, ("best", "a->b", 1): 72.0}))["new"]
    assert (found["seeds"], found["gain"], found["gap_closed"]) == ("3", "20.33", "50.00") and found["note"] == ""
    found = lines(board(tmp_path / "2", values | {("best", "a->b", 0): 70.0}))["new"]
    assert found["gap_closed"] == "" and found["note"].startswith("ceiling − floor has no interval (one seed")
    apart = {
        ("plain", "a->b", 3): 50.0,
        ("best", "a->b", 3): 70.0,
        ("also", "a->b", 0): 61.0,
        ("also", "a->b", 1): 63.0,
    }
    folder = board(tmp_path / "3", values | apart, peers=PEERS | {"also": ROLES})
    assert "- new, also: no share of a gap: on some pair it has no seed in common with floor and ceiling" in (
        (folder / "leaderboard.md").read_text().split("\n")
    )


def test_a_gap_that_may_be_noise_is_blank(tmp_path):
    """The ceiling gains -5, 5 and 12 on the floor."""
    noise = {("best", f"a->{target}", 0): 50.0 + gain for target, gain in zip("bcd", (-5, 5, 12), strict=True)}
    found = lines(board(tmp_path, ONE_SOURCE | noise))["new"]
    assert found["gain"] == "4.00" and found["gap_closed"] == ""
    assert found["note"] == "ceiling − floor is noise: its interval reaches 0"


def test_gains_are_on_both_pages(tmp_path):
    """The same numbers, what they mean and what is blank; a board whose rows name none has neither."""
    folder = board(tmp_path / "1", ONE_PAIR)
    markdown, page = ((folder / name).read_text() for name in ("leaderboard.md", "index.html"))
    assert "| new | plain | +3.50 | −2.85 to +9.85 | seeds, t, 1 df | 0.090 |  | 8.17 | 1 of 1 |  |" in markdown
    assert "- new: no share of a gap: the board has no row of the ceiling" in markdown.split("\n")
    assert "−2.85 to +9.85" in page and "seeds, t, 1 df" in page and 'href="gains.csv"' in page
    for text in (markdown, page):
        assert "with its 95 % interval" in text and "two-way clusters" in text
    nothing = build(tmp_path / "2")
    assert (nothing / "gains.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert "## Gains" not in (nothing / "leaderboard.md").read_text()
    assert 'id="gains"' not in (nothing / "index.html").read_text()


def test_bytes_do_not_depend_on_the_order_of_records(tmp_path):
    """Shuffled records give the same bytes of the table and of both pages."""
    first, second = board(tmp_path / "1", ONE_SOURCE), board(tmp_path / "2", ONE_SOURCE, order=1)
    for name in ("gains.csv", "leaderboard.md", "index.html"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_zero_has_no_sign(tmp_path):
    """Less than half a hundredth of a point, from below."""
    assert (signed(-0.00001), signed(0.0123), signed(-0.5)) == ("0.00", "+1.23", "−50.00")
    values = {("plain", "a->b", 0): 50.001, ("new", "a->b", 0): 50.0}
    assert lines(board(tmp_path, values))["new"]["gain"] == "0.00"
