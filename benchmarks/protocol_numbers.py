"""What follows from published numbers and sizes alone, for protocol_effects.py: no images are needed."""

from collections.abc import Iterator
from statistics import mean

import protocol_variants as variants

from xdseg.datasets.spaces import CITYSCAPES, NOT_IN_13, NOT_IN_SYNTHIA
from xdseg.published import Published

ASPECTS = {"16:9": (4096, 2304), "3:2": (3888, 2592), "4:3": (4032, 3024), "3:4 portrait": (3024, 4032)}

Row = dict[str, str | float]


def subsets(rows: list[Published]) -> Iterator[Row]:
    """Means of one model over 19, 16 and 13 of its published classes."""
    for row in rows:
        if row.class_subset == "19" and row.per_class:
            values = dict(zip(CITYSCAPES, map(float, row.per_class), strict=True))
            sixteen = {name: value for name, value in values.items() if name not in NOT_IN_SYNTHIA}
            thirteen = [value for name, value in sixteen.items() if name not in NOT_IN_13]
            means = [mean(chosen) for chosen in (values.values(), sixteen.values(), thirteen)]
            yield {"result": f"{row.method}, {row.source} to {row.target}"} | dict(
                zip(("19", "16", "13"), means, strict=True)
            )


def conditions(rows: list[Published]) -> Iterator[Row]:
    """ACDC's test server: the mean of four conditions and the pooled number, where both are published."""
    tested = [row for row in rows if row.source == "cityscapes" and row.target_split == "test"]
    for pooled in (row for row in tested if row.target == "acdc"):
        same = (pooled.method, pooled.backbone)
        parts = [r for r in tested if r.target.startswith("acdc_") and (r.method, r.backbone) == same]
        if len(parts) == 4:
            four, whole = mean(float(part.miou) for part in parts), float(pooled.miou)
            yield {"result": ", ".join(same), "mean of four": four, "pooled": whole, "difference": whole - four}


def windows() -> Iterator[Row]:
    """What RobustNet's centre crop scores of a Mapillary photograph, by its aspect ratio."""
    for aspect, (width, height) in ASPECTS.items():
        scored, filled = variants.scored_window(width, height)
        yield {"photograph": aspect, "% of it scored": 100 * scored, "% of the square false road": 100 * filled}


def sizes() -> Iterator[Row]:
    """GTA frames as `Resize(img_scale)` with the ratio kept makes them, and the distortion of the exact size."""
    for width, height in ((1914, 1052), (1914, 1046)):
        for box in ((1280, 720), (2560, 1440)):
            kept = variants.kept_ratio(width, height, box=box)
            stretched = 100 * (box[1] / height / (box[0] / width) - 1)
            shown = {"frame": f"{width} x {height}", "asked": "{} x {}".format(*box), "kept": "{} x {}".format(*kept)}
            yield shown | {"% stretched if exact": stretched}
