"""Whether a run's network sees its images, what its map of need is made of, and what led attention changes.

    python benchmarks/tmt_lead.py RUN IMAGE [IMAGE ...]

One JSON object a run, means over the images. `maps`: deviation of each map of the network over the places of an image
beside its mean absolute value (0: every place looks alike, and no attention behind it can tell them apart). For a run
of TMT also `transfer`, `doubt`, `need`: deviation of each over the cells of the map that is read; `changed`: share of
pixels whose class is another one without the lead. A crop of 256 pixels from the middle of each image.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from xdseg.adaptations.tmt.guide import Guide, Lead
from xdseg.adaptations.tmt.prototypes import SOURCE
from xdseg.data.photographs import read_upright
from xdseg.data.tensors import image_tensor, normalise
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.steered import Steered
from xdseg.trained import read_run
from xdseg.training.checkpoint import load_segmenter

SIDE = 256


def crop(path: Path) -> Tensor:
    """(1, 3, H, W): the middle of an image, normalised."""
    image = read_upright(path)
    top, left = (max(0, (side - SIDE) // 2) for side in image.shape[:2])
    return normalise(image_tensor(image[top : top + SIDE, left : left + SIDE])[None])


def variation(values: Tensor) -> float:
    """Deviation of (1, C, h, w) over its places, mean over channels, beside the mean absolute value."""
    return float(values.float().flatten(2).std(2, correction=0).mean() / values.float().abs().mean().clamp(min=1e-12))


def deviation(values: Tensor) -> float:
    """Of a map over its places."""
    return float(values.float().std(correction=0))


@torch.inference_mode()
def look(network: Segmenter, guide: Guide | None, images: Tensor) -> dict[str, float]:
    """What is told of one image. With a guide `network` is the host."""
    whole = images[..., : images.shape[-2] // 32 * 32, : images.shape[-1] // 32 * 32]
    found = {f"maps {name}": variation(value) for name, value in network.encode(whole).maps.items()}
    if guide is None:
        return found
    lead = Lead(guide, strength=1.0, seen_from=SOURCE)
    led, host = (network.predict(whole, steer=steer).argmax(1) for steer in (lead, None))
    need = lead.need_of(lead.reads()[0])
    of = {"transfer": need.transfer, "doubt": need.doubt, "need": need.dense}
    return (
        found
        | {name: deviation(value) for name, value in of.items()}
        | {"changed": float((led != host).double().mean())}
    )


def told(folder: Path, images: list[Path]) -> dict[str, object]:
    """Of one run."""
    run = read_run(folder)
    about = {"classes": run.classes, "fingerprint": run.fingerprint, "adaptations": run.adaptations}
    network = load_segmenter(run.folder, segmenter=run.segmenter, settings=run.settings, **about)
    steered = isinstance(network, Steered)
    host, guide = (network.segmenter, network.owner.guide) if steered else (network, None)
    seen = [look(host.eval(), guide, crop(path)) for path in images]
    means = {key: float(f"{fmean(one[key] for one in seen):.3g}") for key in seen[0]}
    gamma = {"gamma": round(guide.attention.largest()["gamma"], 3)} if guide else {}
    return {"run": "/".join(folder.parts[-3:]), "images": len(seen)} | means | gamma


def main(arguments: list[str] | None = None) -> int:
    """Print. Raises BadInput for what is no run, or no image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    chosen = parser.parse_args(arguments)
    print(json.dumps(told(chosen.run, chosen.images)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
