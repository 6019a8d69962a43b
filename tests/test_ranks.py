"""Ranks of a board: by hand on a small one, against scipy, rarely wrong on made-up boards; bars as long as they say."""

import csv
import importlib.util
import re
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy import stats
from test_board import CLASSES, build, cell, record
from test_gains import ONE_PAIR, board

from xdseg.reporting.cells_table import collect
from xdseg.reporting.figures import DPI
from xdseg.reporting.leaderboard import rank
from xdseg.reporting.page_ranks import MOST_BARS, picture, ranks_section
from xdseg.reporting.ranks import Ranks, ranks
from xdseg.reporting.ranks_figure import AXIS, BEST, MARGIN, OTHER
from xdseg.reporting.ranks_table import COLUMNS
from xdseg.reporting.statistics.clusters import over_pairs
from xdseg.reporting.statistics.ranks import average_ranks, groups, rank_interval

# One source, four targets, one seed. Differences are 18 and more and spread by about 1; of mid and twin: -1, 2, -1, 0.
BY_HAND = {
    (method, f"a->{target}", 0): float(value)
    for method, values in {
        "best": (90, 91, 89, 90),
        "mid": (70, 72, 69, 70),
        "twin": (71, 70, 70, 70),
        "low": (50, 51, 52, 50),
    }.items()
    for target, value in zip("bcde", values, strict=True)
}
ONE_METHOD = {key: value for key, value in BY_HAND.items() if key[0] == "low"}
FAMILY = 0.05  # chance of any error that is allowed


def standings(values: dict, *, settings: dict | None = None, missing=()) -> Ranks:
    """Ranks of mIoU by method, pair and seed, in points; `missing` are wanted and have no record."""
    settings = settings or {}
    expected = [cell(*key, setting=settings.get(key[0], "source")) for key in [*values, *missing]]
    records = [
        record(m, p, value / 50 - 0.9, seed=seed, setting=settings.get(m, "source"))
        for (m, p, seed), value in values.items()
    ]
    cells = collect(expected, records, suite="vessels", classes=CLASSES)
    return ranks(rank(cells, CLASSES), cells)


def intervals(found: Ranks) -> dict[str, tuple[int, int]]:
    return {standing.method: (standing.low, standing.high) for standing in found.standings}


def test_a_board_by_hand(tmp_path):
    """Of mid and twin: ranks 3, 2, 3, 2.5 and 2, 3, 2, 2.5, equal means, so neither is before the other."""
    folder = board(tmp_path, BY_HAND)
    assert list(csv.DictReader((folder / "ranks.csv").open(newline=""))) == [
        dict(zip(COLUMNS, values, strict=True))
        for values in (
            ("best", "1.00", "1", "1", "4/4", "", "yes", ""),
            ("twin", "2.38", "2", "3", "4/4", "mid", "no", ""),
            ("mid", "2.62", "2", "3", "4/4", "twin", "no", ""),
            ("low", "4.00", "4", "4", "4/4", "", "no", ""),
        )
    ]


def test_equal_values_share_a_rank():
    """Two at the top, 1 and 2, have 1.5 each; the highest has the lowest rank."""
    assert average_ranks([70.0, 90.0, 90.0, 10.0]) == [3.0, 1.5, 1.5, 4.0]


def test_seeds_are_averaged_before_ranks():
    """`a` has 60 and 70 on the first pair, `b` 66: on its seeds it would be behind and before, its mean is behind."""
    values = {("a", "x->y", 0): 60.0, ("a", "x->y", 1): 70.0, ("b", "x->y", 0): 66.0, ("b", "x->y", 1): 66.0}
    values |= {(method, "y->x", seed): 60.0 for method in "ab" for seed in (0, 1)}
    found = {standing.method: standing.mean_rank for standing in standings(values).standings}
    assert found == {"b": 1.25, "a": 1.75}


def test_comparisons_are_paired_t_tests_with_holm():
    """One source, six targets: each target its own cluster, so that scipy's paired t test gives every p."""
    generator, names = np.random.default_rng(3), "vwxyz"
    means = dict(zip(names, (60, 61, 62, 65, 72), strict=True))
    values = {name: mean + generator.normal(size=6) for name, mean in means.items()}
    flat = {(name, f"a->{t}", 0): float(v) for name in names for t, v in zip("bcdefg", values[name], strict=True)}
    tests = sorted((stats.ttest_rel(values[a], values[b]).pvalue, a, b) for a, b in combinations(names, 2))
    apart = []
    for number, (p, a, b) in enumerate(tests):
        if p * (len(tests) - number) >= FAMILY:
            break
        apart.append((a, b) if values[a].mean() > values[b].mean() else (b, a))
    assert 3 <= len(apart) < sum(p < FAMILY for p, *_ in tests), "the adjustment decides here"
    expected = {
        name: (1 + sum(worse == name for _, worse in apart), 5 - sum(better == name for better, _ in apart))
        for name in names
    }
    assert intervals(standings(flat)) == expected


def test_who_is_not_ranked_and_why():
    """A missing cell, and a ceiling however high it is; neither counts among the ranks."""
    found = standings(
        BY_HAND | {("top", f"a->{target}", 0): 94.0 for target in "bcde"} | {("half", "a->b", 0): 94.0},
        settings={"top": "oracle"},
        missing=[("half", "a->c", 0)],
    )
    assert intervals(found)["best"] == (1, 1) and len(found.standings) == 4
    assert found.left_out == {
        "top": ("4/4", "a ceiling: it learns from the target's labels"),
        "half": ("1/4", "lacks a → c, a → d, a → e"),
    }


def test_rows_without_a_common_seed_are_not_separable():
    """Seed 1 of one and seed 0 of the other have no difference, however far apart they are."""
    values = {(name, pair, seed): value for name, seed, value in (("a", 0, 90.0), ("b", 1, 50.0))
              for pair in ("x->y", "x->z")}  # fmt: skip
    found = standings(values)
    assert intervals(found) == {"a": (1, 2), "b": (1, 2)} and found.groups == (("a", "b"),)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (ONE_PAIR, "as they need 2 pairs of domains and this board has 1"),
        (ONE_METHOD, "as they need 2 methods with every cell and this board has 1"),
    ],
)
def test_a_board_that_is_too_small_says_so(tmp_path, values, reason):
    """A header alone, a figure without a bar, no section on the page, and words in the table for papers."""
    folder = board(tmp_path, values)
    assert (folder / "ranks.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert extent(folder, BEST) is None and extent(folder, OTHER) is None
    assert "## Ranks" not in (folder / "leaderboard.md").read_text()
    assert f"% No ranks, hence no marks, {reason}.\n" in (folder / "leaderboard.tex").read_text()


def test_the_page_shows_ranks_with_what_tests_leave_open(tmp_path):
    """By hand, with a ceiling on top: it has no rank; twin and mid have equal means, hence one place, 2 of 2 to 3.

    The picture has a label per ranked method, each on its place, and one bar with a dot for each of the two.
    """
    top = {("top", f"a->{target}", 0): 94.0 for target in "bcde"}
    settings = {"top": "oracle"}
    wanted = [cell(*key, setting=settings.get(key[0], "source")) for key in BY_HAND | top]
    records = [record(m, p, v / 50 - 0.9, seed=s, setting=settings.get(m, "source"))
               for (m, p, s), v in (BY_HAND | top).items()]  # fmt: skip
    text = (build(tmp_path / "1", expected=wanted, records=records) / "index.html").read_text()
    shown = {name: re.sub(r"<[^>]+>", " ", rank).split() for rank, name in re.findall(
        r'<td class="n rank"[^>]*>(.*?)</td>.*?<a href="#what-\d+">(\w+)</a>', text, re.DOTALL)}  # fmt: skip
    assert shown == {"top": ["–"], "best": ["1", "[1]"], "mid": ["2", "[2–3]"], "twin": ["2", "[2–3]"],
                     "low": ["4", "[4]"]}  # fmt: skip
    assert "a ceiling: it learns from the target&#39;s labels" in text
    section = re.search(r'<section id="ranks">(.*?)</section>', text, re.DOTALL)[1]
    assert re.findall(r'<text class="name"[^>]*>(.*?)</text>', section) == [
        *("best  1.00 [1]", "twin  2.38 [2–3]", "mid  2.62 [2–3]", "low  4.00 [4]")
    ]
    assert section.count('<g class="without">') == 1 and 'class="with"' not in section
    assert section.count("<circle") == 2 and "<strong>top</strong> not ranked" in section


def test_the_picture_on_the_page_is_to_scale():
    """Mean ranks 1, 2.38, 2.62 and 4 of four on an axis from 1 to 4; a bar from the second to the third, of no best."""
    drawn = picture(standings(BY_HAND))
    left, right, y = drawn.axis
    starts = [float(label.points.split(",")[0]) for label in drawn.labels]
    assert starts == pytest.approx([left + (right - left) * (r - 1) / 3 for r in (1, 2.375, 2.625, 4)], abs=0.1)
    (bar,) = drawn.bars
    assert list(bar.places) == pytest.approx(starts[1:3], abs=0.1) and bar.y < y and not bar.best
    assert [label.anchor for label in drawn.labels] == ["end", "end", "start", "start"]
    assert all(0 < label.x < drawn.width and y < label.y < drawn.height for label in drawn.labels)


def test_a_picture_of_too_many_bars_is_left_to_its_file():
    """One bar more than the page draws: none of them, and how many there are; the table stays."""
    found = standings(BY_HAND)
    for number, drawn in ((MOST_BARS, True), (MOST_BARS + 1, False)):
        section = ranks_section(replace(found, groups=found.groups * number))
        assert bool(section["picture"]) == drawn and section["bars"] == number and len(section["lines"]) == 4


def test_rows_that_tie_with_the_best_are_marked(tmp_path):
    """mid and twin alone: neither has a rank to itself; a board of one pair has ranks without brackets, and says so."""
    two = {key: value for key, value in BY_HAND.items() if key[0] in ("twin", "mid")}
    text = (board(tmp_path / "1", two) / "index.html").read_text()
    assert len(re.findall(r">=</abbr>1<br><small>\[1–2\]</small>", text)) == 2 and 'class="with"' in text
    text = (board(tmp_path / "2", ONE_PAIR) / "index.html").read_text()
    assert "no test says which of them hold, as they need 2 pairs of domains and this board has 1." in text
    assert 'id="ranks"' not in text and re.search(r'<td class="n rank" data-sort="1">1</td>', text)


def test_what_is_not_separable_need_not_hang_together():
    """Of a, b, c in this order only a and c are apart: two groups, and b may have any rank."""
    apart = {("a", "c")}
    assert groups("abc", apart) == [("a", "b"), ("b", "c")]
    assert [rank_interval(name, "abc", apart) for name in "abc"] == [(1, 2), (1, 3), (2, 3)]


def test_groups_are_the_largest_ones():
    """On random graphs, as trying all sets finds them."""
    generator, names = np.random.default_rng(0), "abcdefg"
    for density in (0.2, 0.5, 0.8):
        apart = {pair for pair in combinations(names, 2) if generator.random() < density}
        alike = [set(group) for size in range(2, 8) for group in combinations(names, size)
                 if not any(pair in apart for pair in combinations(group, 2))]  # fmt: skip
        largest = [group for group in alike if not any(group < other for other in alike)]
        found = groups(names, apart)
        assert sorted(map(sorted, largest)) == sorted(map(list, found)) and found == sorted(found)


@pytest.fixture(scope="module")
def simulated():
    """benchmarks/statistics_simulated.py."""
    path = ROOT / "benchmarks/statistics_simulated.py"
    spec = importlib.util.spec_from_file_location("statistics_simulated", path)
    found = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    yield found
    del sys.modules[spec.name]


def test_equal_methods_keep_all_ranks(simulated):
    """Five domains, four equal methods with effects of their own: any rank is lost on at most 5 % of boards.

    Tests that take pairs for independent lose one on most, so that the check could fail; nor is it idle, as methods
    that are far apart have one rank each.
    """
    pairs, arms = simulated.crossed(5), {arm.name: arm for arm in simulated.ARMS}
    alike = {"arm": arms["one effect in both roles"], "pairs": pairs, "methods": 4}
    assert simulated.lost_ranks(over_pairs, **alike, number=150) <= FAMILY
    assert simulated.lost_ranks(simulated.unclustered, **alike, number=100) > 0.3
    noise = simulated.boards(arms["of both"], pairs, number=4, seed=0)
    steps = {name: dict(zip(pairs, noise[number] - 50 * number, strict=True)) for number, name in enumerate("0123")}
    apart = simulated.told_apart(over_pairs, steps)
    assert [rank_interval(name, "0123", apart) for name in "0123"] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def extent(folder: Path, colour: str) -> int | None:
    """Pixels from the first to the last of this colour across the figure of ranks."""
    image = np.asarray(Image.open(folder / "ranks.png").convert("RGB"))
    columns = np.flatnonzero((image == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(2).any(0))
    return int(columns[-1] - columns[0] + 1) if columns.size else None


def test_a_bar_is_as_long_as_its_ranks(tmp_path):
    """From 2.375 to 2.625 of an axis from 1 to 4, and half a dot at either end; blue where the best has an equal."""
    folder = board(tmp_path / "1", BY_HAND)
    dot = 4.2 / 72 * DPI
    assert extent(folder, OTHER) == pytest.approx(0.25 / 3 * AXIS * DPI + dot, abs=4)
    assert extent(folder, BEST) is None
    pair = {key: value for key, value in BY_HAND.items() if key[0] in ("mid", "twin")}
    tied = board(tmp_path / "2", pair)
    assert extent(tied, BEST) == pytest.approx(0.25 * AXIS * DPI + dot, abs=4) and extent(tied, OTHER) is None


def test_labels_have_room(tmp_path):
    """A name of the widest letters: half of the margin stays white on all sides."""
    names = {"mid": "m" * 30, "twin": "w" * 30}
    folder = board(tmp_path, {(names[m], pair, seed): v for (m, pair, seed), v in BY_HAND.items() if m in names})
    image, edge = np.asarray(Image.open(folder / "ranks.png").convert("RGB")), round(MARGIN / 2 * DPI)
    inside = image[edge:-edge, edge:-edge]
    assert (image < 255).any() and (image < 255).sum() == (inside < 255).sum()


def test_the_page_says_what_the_bars_mean(tmp_path):
    """In Markdown, with who is not ranked; the page for browsers links to the files."""
    folder = build(tmp_path / "1")
    assert "## Ranks" not in (folder / "leaderboard.md").read_text(), "fancy lacks a cell, plain alone has no rank"
    page = (board(tmp_path / "2", BY_HAND, missing=[("half", "a->b", 0)]) / "leaderboard.md").read_text()
    assert "Holm's adjustment" in page and "Nemenyi" in page and "](ranks.png)" in page
    assert "- half: lacks a → b, a → c, a → d, a → e\n" in page
    html = (tmp_path / "2/index.html").read_text()
    assert all(f'href="{name}"' in html for name in ("ranks.csv", "ranks.svg", "leaderboard.tex"))


def test_lines_for_print_are_the_same_every_time(tmp_path):
    """SVG of shuffled records has equal bytes, holds no pixel, and tells neither time nor program; so has the rest."""
    first, second = board(tmp_path / "1", BY_HAND), board(tmp_path / "2", BY_HAND, order=1)
    for name in ("heatmap", "gains", "ranks"):
        text = (first / f"{name}.svg").read_bytes()
        assert text == (second / f"{name}.svg").read_bytes(), name
        assert b"<svg" in text and b"</svg>" in text and b"<image" not in text
        assert b"<dc:date>" not in text and b"Matplotlib v" not in text
    for name in ("ranks.csv", "ranks.png", "leaderboard.tex"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
