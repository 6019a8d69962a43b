"""WildDash 2 (Zendel et al., CVPR 2022): hazards from all over the world, labelled in COCO's panoptic format.

Names, ids and the map are those of the publisher's wd2_unified_label_policy.json.
"""

from collections.abc import Iterator
from pathlib import Path

from xdseg.datasets.contract import Dataset, Download, Item, Split
from xdseg.datasets.listing import paired
from xdseg.datasets.panoptic import listing_of, panoptic_ids

NAMES = (  # by id, from 0
    *("unlabeled", "egovehicle", "overlay", "outofroi", "static", "dynamic", "ground", "road", "sidewalk", "parking"),
    *("railtrack", "building", "wall", "fence", "guardrail", "bridge", "tunnel", "pole", "polegroup", "trafficlight"),
    *("trafficsign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan"),
    *("trailer", "onrails", "motorcycle", "bicycle", "pickup", "van", "billboard", "streetlight", "roadmarking"),
    *("junctionbox", "mailbox", "manhole", "phonebooth", "pothole", "bikerack", "trafficsignframe", "utilitypole"),
    *("motorcyclist", "bicyclist", "otherrider", "bird", "groundanimal", "curb", "trafficsignany", "trafficsignback"),
    *("trashcan", "otherbarrier", "othervehicle", "autorickshaw", "bench", "mountain", "tramtrack", "wheeledslow"),
    *("boat", "bikelane", "bikelanesidewalk", "banner", "dashcammount", "water", "sand", "pedestrianarea"),
    *("firehydrant", "cctvcamera", "snow", "catchbasin", "crosswalkplain", "crosswalkzebra", "manholesidewalk"),
    *("curbterrain", "servicelane", "curbcut"),
)
IDS = dict(enumerate(NAMES))
CLASSES = {  # of Cityscapes: the publisher's names
    "road": (
        *("road", "roadmarking", "manhole", "pothole", "tramtrack", "bikelane", "pedestrianarea", "catchbasin"),
        *("crosswalkplain", "crosswalkzebra", "servicelane"),
    ),
    "sidewalk": ("sidewalk", "curb", "bikelanesidewalk", "manholesidewalk", "curbcut"),
    "building": ("building",),
    "wall": ("wall", "otherbarrier"),
    "fence": ("fence",),
    "pole": ("pole", "trafficsignframe", "utilitypole"),
    "traffic light": ("trafficlight",),
    "traffic sign": ("trafficsign",),
    "vegetation": ("vegetation",),
    "terrain": ("terrain", "curbterrain"),
    "sky": ("sky",),
    "person": ("person",),
    "rider": ("rider", "motorcyclist", "bicyclist", "otherrider"),
    "car": ("car", "van"),
    "truck": ("truck", "pickup"),
    "bus": ("bus",),
    "train": ("onrails",),
    "motorcycle": ("motorcycle", "autorickshaw"),
    "bicycle": ("bicycle",),
}
MAP = {NAMES.index(name): class_ for class_, names in CLASSES.items() for name in names}


def _files(root: Path, split: str, part: str | None) -> Iterator[Item]:
    return paired(root / "images", "*.jpg", image_ending=".jpg", labels=root / "panoptic", label_ending=".png")


DATASET = Dataset(
    name="wilddash2",
    title="WildDash 2 (public ground truth)",
    space="cityscapes",
    splits={"full": Split(4256)},
    files=_files,
    ids=IDS,
    maps={"cityscapes": MAP},
    download=Download("wd_public_v2p0.zip", "wilddash.cc, after registration", "non-commercial, account needed"),
    layout="images/*.jpg\npanoptic/*.png\npanoptic.json",
    shapes=frozenset({(1080, 1920)}),
    read_label=panoptic_ids,
    beside=listing_of,
    confirmed={
        "counts": "4256, unconfirmed",
        "ids": "the JSON's categories are those of wd2_unified_label_policy.json, as its remap_coco.py takes them",
        "void": "pixels of a segment that the JSON does not list are unlabeled, as in the publisher's pano2sem.py",
        "map": "train is the policy's `onrails`, which it calls `on rails` for Cityscapes",
    },
)
