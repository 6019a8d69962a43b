"""The figures of a board, each as PNG and as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xdseg.reporting.gains import Gain
from xdseg.reporting.gains_figure import save_gains_figure
from xdseg.reporting.heatmap import save_heatmap
from xdseg.reporting.leaderboard import Row
from xdseg.reporting.ranks import Ranks
from xdseg.reporting.ranks_figure import save_ranks_figure


def save_figures(out: Path, rows: Sequence[Row], found: Mapping[str, Gain], standing: Ranks, *, suite: str) -> None:
    """Write heatmap, gains and ranks into `out`; `found` are the board's gains, `standing` its ranks."""
    save_heatmap(out / "heatmap.png", rows, suite=suite)
    save_gains_figure(out / "gains.png", found, suite=suite)
    save_ranks_figure(out / "ranks.png", standing, suite=suite)
