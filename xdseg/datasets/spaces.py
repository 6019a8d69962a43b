"""Label spaces that several data sets share, and the subsets of classes that the literature scores.

A space is an ordered list of class names; a class's id is its position, 255 is ignored everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from xdseg.errors import BadInput, suggest

CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
NOT_IN_SYNTHIA = ("terrain", "truck", "train")
NOT_IN_13 = ("wall", "fence", "pole")
SIXTEEN = tuple(name for name in CITYSCAPES if name not in NOT_IN_SYNTHIA)
THIRTEEN = tuple(name for name in SIXTEEN if name not in NOT_IN_13)

SPACES: Mapping[str, tuple[str, ...]] = {
    "cityscapes": CITYSCAPES,
    "cityscapes-16": SIXTEEN,  # a training class list of its own (16b): pixels of the other three are ignored
    "loveda": ("background", "building", "road", "water", "barren", "forest", "agriculture"),
    "isprs": ("impervious surface", "building", "low vegetation", "tree", "car", "clutter"),
    "isprs-5": ("impervious surface", "building", "low vegetation", "tree", "car"),
    "vessels": ("background", "vessel"),
    "fundus": ("background", "disc", "cup"),  # disc: the rim, without the cup within
}


@dataclass(frozen=True)
class Subset:
    """Classes whose mean IoU papers report for a network that knows more."""

    classes: tuple[str, ...]  # in the mean
    outside: Literal["ignore", "count"]  # what becomes of pixels of the other classes; see xdseg.evaluation.scores
    known: tuple[str, ...]  # classes that network and truth must know, else the number would be another


SUBSETS: Mapping[str, Subset] = {
    "19": Subset(CITYSCAPES, "ignore", CITYSCAPES),
    # as DAFormer, HRDA, MIC and DACS: all 19 are told apart, and pixels of the other three remain possible errors
    "16a": Subset(SIXTEEN, "count", CITYSCAPES),
    "13": Subset(THIRTEEN, "count", THIRTEEN),  # of a network of 19 or of 16 classes
}


def space(name: str) -> tuple[str, ...]:
    """Class names of a space. Raises BadInput that names the nearest known one."""
    if name not in SPACES:
        raise BadInput(f"unknown label space {name!r}; {suggest(name, SPACES)}")
    return SPACES[name]
