"""What a page says of its board beyond the records: relations between rows, data, commands, panels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xdseg.reporting.cells_table import TableCell


@dataclass(frozen=True)
class Split:
    """One split as the suite's lock knows it."""

    count: int
    images: str  # digest
    labels: str | None  # digest; None where it has none


@dataclass(frozen=True)
class Strips:
    """A target's shown images and their truth, side by side."""

    images: Path
    truth: Path


@dataclass(frozen=True)
class Panel:
    """What one cell predicted on its target's shown images."""

    path: Path
    names: tuple[str, ...]
    widths: tuple[int, ...]  # pixels of each image in the strip


@dataclass(frozen=True)
class About:
    """The defaults are what is known of a board made of records alone."""

    name: str = ""  # of the board, if not the suite's
    peers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # method: role: the method it names
    parts: Mapping[str, str] = field(default_factory=dict)  # method: its segmenter and adaptations
    traits: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)  # method: trait: values
    data: Mapping[tuple[str, str], Split] = field(default_factory=dict)  # (domain, split)
    overlay: str | None = None  # options that give the settings in force; None if no file here gives them
    records: Mapping[tuple, str] = field(default_factory=dict)  # cell key: its record below records/
    may_show: bool = False  # its images
    strips: Mapping[str, Strips] = field(default_factory=dict)  # target
    panels: Mapping[tuple, Panel] = field(default_factory=dict)  # cell key

    def peer(self, method: str) -> tuple[str, str] | None:
        """The row that a method's gain is computed against, and its role: the host, else the floor."""
        named = self.peers.get(method, {})
        return next(((named[role], role) for role in ("host", "floor") if named.get(role)), None)

    def snakemake(self, target: str = "") -> str:
        """Command that makes the board, or one file of it."""
        return " ".join(filter(None, ["snakemake --cores 1", self._overlay, f"-- {target}" if target else ""]))

    def score(self, cell: TableCell) -> str:
        """Command that enters a row from predictions."""
        words = ["xdseg", self._overlay, "score --predictions FOLDER", f"--method {cell.method}"]
        words += [f"--pair '{cell.source}->{cell.target}'", f"--setting {cell.setting}", f"--seed {cell.seed}"]
        ids = (cell.record or {}).get("ids")
        return " ".join(filter(None, [*words, f"--ids {ids}" if ids else ""]))

    @property
    def _overlay(self) -> str:
        return "--configfile YOUR-OVERLAY.yaml" if self.overlay is None else self.overlay
