"""What identifies a streetworld: its settings, its generator's version, its classes and its domains.

Light to import, as the Snakefile reads it: neither NumPy nor Pillow.
"""

from pydantic import Field

from xdseg.settings.base import Settings

VERSION = 1  # of the generator; raised whenever the same settings give other pixels, as it enters fingerprints
IGNORE_INDEX = 255  # never drawn: every pixel of a generated scene has a class

CLASSES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "car",
    "bus",
    "bicycle",
)
"""Names and order as in Cityscapes, less the five classes that are not drawn."""

DOMAINS: tuple[str, ...] = ("clear", "game", "night", "rain", "snow")
SPLITS: tuple[str, ...] = ("train", "val")


class Streetworld(Settings):
    """The generated suite: every image is a pure function of these settings, a domain, a split and an index."""

    seed: int = Field(0, description="of all scenes; another seed is another world of the same domains")
    height: int = Field(160, ge=32, description="of an image, in pixels")
    width: int = Field(320, ge=64, description="of an image, in pixels")
    train: int = Field(200, gt=0, description="training images per domain")
    val: int = Field(60, gt=0, description="validation images per domain")
