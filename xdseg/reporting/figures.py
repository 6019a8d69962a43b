"""Figures as files: a picture, and the same as lines and letters for print."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from xdseg.files import temporary

DPI = 150
SALT = "xdseg"  # of the names inside an SVG, which are drawn at random without one
UNSAID = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}  # what would differ between rebuilds


def save_figure(path: Path, draw: Callable[[], Figure]) -> None:
    """Write what `draw` gives as PNG to `path` and as SVG beside it, atomically; equal figures give equal bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a reader's own matplotlibrc must not change the bytes
        matplotlib.rcParams["svg.hashsalt"] = SALT
        figure = draw()
        for suffix, metadata in UNSAID.items():
            with temporary(path.with_suffix(suffix)) as unfinished:
                figure.savefig(unfinished, format=suffix[1:], dpi=DPI, metadata=metadata)
