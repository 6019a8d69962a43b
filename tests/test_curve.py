"""Learning curves: what a run appends, and what a record keeps of it."""

import json
from itertools import pairwise

import pytest

from xdseg.curve import CURVE, POINTS, cut_curve, read_curve
from xdseg.errors import BadInput


def write(folder, count, **extra):
    """A curve whose loss is 1 / step; `extra` goes into every point."""
    points = [{"step": n, "lr": 0.1 * n, "losses": {"source/ce": 1 / n}} | extra for n in range(1, count + 1)]
    (folder / CURVE).write_text("".join(json.dumps(point) + "\n" for point in points))


def test_columns(tmp_path):
    """A short curve is kept whole; curves from before times were kept have no such column."""
    write(tmp_path, 3)
    assert read_curve(tmp_path / CURVE) == {
        "step": [1, 2, 3],
        "lr": [0.1, 0.2, pytest.approx(0.3)],
        "losses": {"source/ce": [1.0, 0.5, 1 / 3]},
    }
    write(tmp_path, 2, time=5.5)
    assert read_curve(tmp_path / CURVE)["time"] == [5.5, 5.5]


@pytest.mark.parametrize("count", [1, POINTS, POINTS + 1, 2 * POINTS + 50, 40 * POINTS])
def test_thinned_evenly_with_the_last_point(tmp_path, count):
    """However long the run, a record keeps few points, evenly spaced, and how it ended."""
    write(tmp_path, count)
    steps = read_curve(tmp_path / CURVE)["step"]
    assert len(steps) <= POINTS
    assert steps[-1] == count
    assert len({later - earlier for earlier, later in pairwise(steps)}) <= 1
    assert 2 * len(steps) > min(count, POINTS)


def test_no_curve_and_a_broken_one(tmp_path):
    """A run without a curve has none; a torn one is named, with the mend."""
    assert read_curve(tmp_path / CURVE) is None
    for text in ("", '{"step": 1', "[]\n", '{"step": 1, "lr": 0.1}\n'):
        (tmp_path / CURVE).write_text(text)
        with pytest.raises(BadInput, match=r"curve\.jsonl: no learning curve .* delete the run's folder"):
            read_curve(tmp_path / CURVE)


def test_cut(tmp_path):
    """Points after the saved step go, and so does the torn line of a killed process."""
    write(tmp_path, 4)
    with (tmp_path / CURVE).open("a") as curve:
        curve.write('{"step": 5, "lo')
    cut_curve(tmp_path, 3)
    assert [json.loads(line)["step"] for line in (tmp_path / CURVE).read_text().splitlines()] == [1, 2, 3]
