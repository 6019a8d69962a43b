"""Predictions in a publisher's raw ids, such as those that Cityscapes' own scripts and server take."""

from dataclasses import dataclass

import numpy as np

from xdseg.data.pixels import IDS
from xdseg.datasets.contract import IGNORE
from xdseg.datasets.registry import dataset
from xdseg.errors import BadInput


@dataclass(frozen=True)
class RawIds:
    """How a data set's raw ids become class ids; those of no class become K, which `confusion` takes as void."""

    title: str
    known: np.ndarray  # (256,) bool: ids that the data set has
    table: np.ndarray  # (256,) uint8: raw id to class id, or K
    classes: int

    @classmethod
    def of(cls, name: str, classes: tuple[str, ...]) -> "RawIds":
        """Of a data set, for a suite of these classes. Raises BadInput if it is unknown or shares no class."""
        found = dataset(name)
        table = found.table(found.default_map, classes)
        if (table == IGNORE).all():
            raise BadInput("none of its classes is one of the suite's; name the data set whose ids they are")
        known = np.isin(np.arange(IDS), list(found.ids))
        return cls(found.title, known, np.where(table == IGNORE, len(classes), table).astype(np.uint8), len(classes))

    def class_ids(self, ids: np.ndarray) -> np.ndarray:
        """Class ids (H, W) uint8 of raw ids (H, W) uint8, K where a pixel is of no class. Raises BadInput."""
        foreign = np.flatnonzero(np.bincount(ids.ravel(), minlength=IDS) * ~self.known)
        if foreign.size:
            negative = " (8 bits hold no negative id: -1 becomes it)" if foreign[0] == IDS - 1 else ""
            raise BadInput(
                f"the prediction holds id {foreign[0]}{negative}, which {self.title} does not have; write its raw ids"
            )
        return self.table[ids]
