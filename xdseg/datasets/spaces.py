"""Label spaces that several data sets share, and the subsets of classes that the literature scores.

A space is an ordered list of class names; a class's id is its position, 255 is ignored everywhere.
"""

from collections.abc import Mapping

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


def space(name: str) -> tuple[str, ...]:
    """Class names of a space. Raises BadInput that names the nearest known one."""
    if name not in SPACES:
        raise BadInput(f"unknown label space {name!r}; {suggest(name, SPACES)}")
    return SPACES[name]
