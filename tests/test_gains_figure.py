"""The figure of gains: bars as long as the gains, the largest on top, losses in another colour; gains of each class."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_board import build, cell, record
from test_gains import ONE_PAIR, ONE_SOURCE, PEERS, board

from xdseg.reporting.about import About
from xdseg.reporting.board import build_board
from xdseg.reporting.gains_figure import ARROWS, DOWN, UP

ARROW_PIXELS = 4  # of one column; no letter has this colour, which is no grey
WHOLE = (0.0, 1.0)
HALVES = ((0.0, 0.5), (0.5, 1.0))  # of two panels


def runs(folder: Path, colour: str, *, between: tuple[float, float] = WHOLE) -> list[int]:
    """Pixels of this colour in each bar, from top to bottom, between shares of the width."""
    image = np.asarray(Image.open(folder / "gains.png").convert("RGB"))
    left, right = (round(share * image.shape[1]) for share in between)
    hits = (image[:, left:right] == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(2)
    starts = np.flatnonzero(np.diff(hits.any(1).astype(int), prepend=0) == 1)
    return [int(hits[start : start + 8].sum(1).max()) for start in starts]


def test_bars_are_gains_and_sorted(tmp_path):
    """Of `new` 2, 4, 6; on another scale, as it is held against a floor, `best` 10, 10, 13."""
    folder = board(tmp_path, ONE_SOURCE)
    assert runs(folder, DOWN) == []
    for half, gains in zip(HALVES, ((13, 10, 10), (6, 4, 2)), strict=True):
        widths = runs(folder, UP, between=half)
        assert len(widths) == len(gains)
        assert np.array(widths) / widths[0] == pytest.approx(np.array(gains) / gains[0], abs=0.03)


def test_losses_have_their_own_colour(tmp_path):
    """A gain of 2 above losses of 4 and 6."""
    changed = {("new", f"a->{target}", 0): 50.0 + gain for target, gain in zip("bcd", (-6, 2, -4), strict=True)}
    folder = board(tmp_path, {key: value for key, value in ONE_SOURCE.items() if key[0] == "plain"} | changed)
    (gain,), losses = runs(folder, UP), runs(folder, DOWN)
    assert np.array([gain, *losses]) / losses[0] == pytest.approx(np.array([2, 4, 6]) / 4, abs=0.05)


def test_a_pair_alone_shows_its_seeds_and_a_board_without_gains_a_figure(tmp_path):
    """Gains 3 and 4 of two seeds; where no row names one, there is a file all the same, without a bar."""
    folder = board(tmp_path / "seeds", {key: value for key, value in ONE_PAIR.items() if key[2] < 2})
    widths = runs(folder, UP)
    assert widths[1] / widths[0] == pytest.approx(3 / 4, abs=0.03)
    nothing = build(tmp_path / "none")
    assert runs(nothing, UP) == runs(nothing, DOWN) == []


def arrows(folder: Path) -> int:
    """Groups of pixels, from left to right, in the colour that arrows alone have."""
    image = np.asarray(Image.open(folder / "gains.png").convert("RGB")).astype(int)
    hits = (image == [int(ARROWS["color"][at : at + 2], 16) for at in (1, 3, 5)]).all(2)
    columns = hits.sum(0) >= ARROW_PIXELS
    return int((np.diff(columns.astype(int), prepend=0) == 1).sum())


def test_a_band_that_the_axis_cuts_has_arrows(tmp_path):
    """Of 3.9, 4 and 4.1 it is 4 ± 0.25, inside the axis; of 2, 4 and 6, ± 4.97, cut above; of -30, 4 and 38 at both."""
    plain = {key: value for key, value in ONE_SOURCE.items() if key[0] == "plain"}
    for number, gains in enumerate(((3.9, 4, 4.1), (2, 4, 6), (-30, 4, 38))):
        new = {("new", f"a->{target}", 0): 50.0 + gain for target, gain in zip("bcd", gains, strict=True)}
        assert arrows(board(tmp_path / str(number), plain | new)) == number


def of_classes(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Lines of class_gains.csv by class and method."""
    lines = csv.DictReader((folder / "class_gains.csv").open(newline=""))
    return {(line["class"], line["method"]): line for line in lines}


def test_gains_of_a_class(tmp_path):
    """The background's IoU is 90 in every record; so the vessel's gain is twice that in mIoU, and its p the same."""
    folder = board(tmp_path, ONE_SOURCE)
    whole = {line["method"]: line for line in csv.DictReader((folder / "gains.csv").open(newline=""))}
    found = of_classes(folder)
    for method, gain in {"new": "8.00", "best": "22.00"}.items():
        assert (found["vessel", method]["gain"], found["vessel", method]["p"]) == (gain, whole[method]["p"])
        assert found["background", method]["gain"] == "0.00"
        assert found["background", method]["note"].startswith("no spread")


def test_a_class_that_a_target_lacks_has_no_gain(tmp_path):
    """IoU that is undefined on one pair leaves the class without a mean, and the pair is named."""
    keys = [key for key in ONE_SOURCE if key[0] != "best"]
    build_board(
        suite="vessels",
        classes=("background", "vessel"),
        expected=[cell(*key) for key in keys],
        records=[record(method, pair, None if pair == "a->d" else 0.5, seed=seed) for method, pair, seed in keys],
        out=tmp_path,
        about=About(peers=PEERS),
    )
    found = of_classes(tmp_path)["vessel", "new"]
    assert (found["gain"], found["note"]) == ("", "lacks a → d (seed 0 of new, seed 0 of plain)")
