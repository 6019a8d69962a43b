"""Data sets by name; each module is imported when its data set is asked for."""

from importlib import import_module

from xdseg.datasets.contract import Dataset
from xdseg.errors import BadInput, suggest

NAMES = (  # also the names of the modules
    "cityscapes",
    "gta5",
    "synthia",
    "urbansyn",
    "bdd100k",
    "mapillary",
    "acdc",
    "dark_zurich",
    "nighttime_driving",
    "idd",
    "wilddash2",
    "camvid",
    "kitti",
    "loveda",
    "potsdam",
    "vaihingen",
    "drive",
    "stare",
    "chase_db1",
    "refuge",
    "drishti_gs",
    "rim_one",
)


def dataset(name: str) -> Dataset:
    """The data set of a name. Raises BadInput that names the nearest known one."""
    if name not in NAMES:
        raise BadInput(f"unknown data set {name!r}; {suggest(name, NAMES)}")
    return import_module(f"xdseg.datasets.{name}").DATASET
