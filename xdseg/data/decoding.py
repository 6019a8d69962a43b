"""How the files of a store become pixels: a folder suite's as they are, a public data set's through its reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from xdseg.data.pixels import read_image, read_label
from xdseg.datasets.windows import cut

KEPT = 2  # decoded files that are kept, since windows of one file follow one another


@dataclass(frozen=True)
class Decoder:
    """Reads images (H, W, 3) or labels (H, W), uint8."""

    label: bool
    dataset: str | None = None  # whose reader; None: the folder layout's
    table: tuple[int, ...] | None = None  # raw id to class, 256 entries

    @classmethod
    def of(cls, described: dict[str, Any] | None, *, label: bool) -> "Decoder":
        """The decoder that an index describes; None describes the folder layout's."""
        if described is None:
            return cls(label)
        table = described["table"]
        return cls(label, described["dataset"], tuple(table) if table else None)

    def described(self) -> dict[str, Any]:
        """What `of` understands, for an index."""
        return {"dataset": self.dataset, "table": self.table}

    def decode(self, path: Path, window: Sequence[int] | None = None) -> np.ndarray:
        """Pixels of a file, or of its window (top, left, height, width). Raises BadInput."""
        if window is None:
            return self._mapped(_read(self.dataset, self.label, path))
        whole = _kept(self.dataset, self.label, path, path.stat().st_mtime_ns)
        return self._mapped(cut(whole, tuple(window)))

    def _mapped(self, pixels: np.ndarray) -> np.ndarray:
        return pixels if self.table is None else map_ids(pixels, self._table)

    @cached_property
    def _table(self) -> np.ndarray:
        return np.array(self.table, np.uint8)


def map_ids(raw: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Raw ids (H, W) uint8 through a table (256,) uint8: one pass, and no id is taken for another on the way.

    Bytes are translated, which needs no pixel as an index of eight bytes first, as `table[raw]` does.
    """
    return np.frombuffer(bytearray(raw.tobytes()).translate(table.tobytes()), np.uint8).reshape(raw.shape)


def _read(dataset: str | None, label: bool, path: Path) -> np.ndarray:
    if dataset is None:
        return (read_label if label else read_image)(path)
    from xdseg.datasets.registry import dataset as registered

    source = registered(dataset)
    return (source.read_label if label else source.read_image)(path)


@lru_cache(maxsize=KEPT)
def _kept(dataset: str | None, label: bool, path: Path, _modified: int) -> np.ndarray:
    return _read(dataset, label, path)
