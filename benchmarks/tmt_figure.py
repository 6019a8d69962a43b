"""Draws what TMT sees in images, by a trained run on a Mix Transformer: one row per image.

    python benchmarks/tmt_figure.py RUN IMAGE [IMAGE ...] --out FILE.png

Columns: the image with the borders of its regions (of each pixel's likeliest one), transferability T, uncertainty U,
the need made of them, and the attention that the places of the image receive in the last block, without and with the
lead, on one scale, and the ratio of the two.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.tmt.guide import Guide, Lead
from xdseg.data.photographs import read_upright
from xdseg.data.tensors import image_tensor, normalise
from xdseg.errors import BadInput
from xdseg.segmenters.contract import Features, Size, Steer
from xdseg.segmenters.mit import STRIDES, MiTSegmenter
from xdseg.segmenters.steered import Steered
from xdseg.segmenters.steering import INPUT, Steering, steering_of
from xdseg.trained import read_run
from xdseg.training.checkpoint import load_segmenter

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm, Normalize

COLUMNS = ("image and regions", "T", "U", "need", "attention, host", "attention, led", "led / host")
ATTENTIONS = (3, 4)  # among the maps
BORDER = (255, 230, 0)
TILE, DPI = 2.0, 80  # inches; dots per inch
FINE = 400  # pixels of a side, from which lines are thicker
RATIO = 1.5  # that the last column shows at most, and its inverse


@dataclass(frozen=True)
class Seen:
    """What is drawn of one image; maps (h, w)."""

    image: np.ndarray  # (H, W, 3) uint8
    maps: list[np.ndarray]


class Spy:
    """A steer that notes what enters the last site, and what another steer says there."""

    def __init__(self, site: str, steer: Steer | None) -> None:
        self.site, self.steer = site, steer
        self.entering: Tensor | None = None
        self.given: Steering | None = None

    def __call__(self, site: str, features: Features, keys: Size) -> Tensor | Steering | None:
        """The other steer's answer."""
        found = self.steer and self.steer(site, features, keys)
        if site == self.site:
            self.entering, self.given = features.context[INPUT], steering_of(found)
        return found


def received(block: nn.Module, spy: Spy) -> Tensor:
    """(h, w): share of the attention that each place gets, mean over heads and queries, times the number of places."""
    x, layers = spy.entering, block.attn
    tokens = block.norm1(x.flatten(2).transpose(1, 2))
    heads, width = layers.num_heads, tokens.shape[-1] // layers.num_heads
    queries = layers.q(tokens).unflatten(2, (heads, width)).transpose(1, 2)
    keys = layers.kv(tokens).unflatten(2, (2, heads, width)).permute(2, 0, 3, 1, 4)[0]  # stage 4 reduces nothing
    logits = queries @ keys.transpose(-1, -2) * layers.scale
    if spy.given is not None and spy.given.bias is not None:
        logits = logits + spy.given.bias
    shares = logits.softmax(-1).mean((0, 1, 2))
    return (shares * len(shares)).unflatten(0, tuple(x.shape[-2:]))


@torch.no_grad()
def look(network: MiTSegmenter, guide: Guide, image: np.ndarray) -> Seen:
    """All maps of an image, whose sides are cut to what the network takes."""
    height, width = (side // STRIDES[-1] * STRIDES[-1] for side in image.shape[:2])
    image = image[:height, :width]
    pixels, site = normalise(image_tensor(image))[None], list(guide.sites)[-1]
    block = network.get_submodule(f"encoder.{site}")
    lead = Lead(guide, strength=1.0, seen_from=0)
    host, led = Spy(site, None), Spy(site, lead)
    for spy in (host, led):
        network.encode(pixels, steer=spy)
    read = lead.reads()[0]
    need = lead.need_of(read)
    before, after = received(block, host), received(block, led)
    of_regions = [read.regions.dense(part[:, None])[0, 0] for part in (need.transfer, need.doubt)]
    borders = with_borders(image, read.regions.indices()[0])
    return Seen(borders, [m.numpy() for m in (*of_regions, need.dense[0], before, after, after / before)])


def with_borders(image: np.ndarray, regions: Tensor) -> np.ndarray:
    """The image with lines where the region changes."""
    size = tuple(image.shape[:2])
    fine = F.interpolate(regions[None, None].float(), size, mode="nearest-exact")[0, 0]
    edges = torch.zeros(size, dtype=torch.bool)
    edges[1:] |= fine[1:] != fine[:-1]
    edges[:, 1:] |= fine[:, 1:] != fine[:, :-1]
    width = 1 + 2 * (max(size) // FINE)  # so that lines are seen in the reduced picture
    edges = F.max_pool2d(edges[None].float(), width, stride=1, padding=width // 2)[0] > 0
    drawn = image.copy()
    drawn[edges.numpy()] = BORDER
    return drawn


def draw(rows: list[Seen], out: Path, title: str) -> None:
    """One row per image, a scale per column; the two attentions share theirs."""
    ratio = rows[0].image.shape[1] / rows[0].image.shape[0]
    size = (TILE * ratio * len(COLUMNS), TILE * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), len(COLUMNS), figsize=size, squeeze=False, layout="constrained")
    scales = [column_scale(rows, number) for number in range(len(COLUMNS) - 1)]
    for row, places in zip(rows, axes, strict=True):
        places[0].imshow(row.image)
        for place, values, (scale, colours) in zip(places[1:], row.maps, scales, strict=True):
            shown = place.imshow(values, cmap=colours, norm=scale, interpolation="nearest")
            figure.colorbar(shown, ax=place, shrink=0.6, pad=0.02)
    for place, name in zip(axes[0], COLUMNS, strict=True):
        place.set_title(name, fontsize=10)
    for place in axes.flat:
        place.set_axis_off()
    figure.suptitle(title, fontsize=9)
    figure.savefig(out, dpi=DPI, metadata={"Software": None})


def column_scale(rows: list[Seen], number: int) -> tuple[Normalize, str]:
    """Scale of a column of maps and its colours; that of attention, of which few places get most, is logarithmic."""
    if number == len(COLUMNS) - len(("image", "ratio")):
        return LogNorm(1 / RATIO, RATIO), "coolwarm"
    same = ATTENTIONS if number in ATTENTIONS else (number,)
    values = [row.maps[one] for row in rows for one in same]
    make = LogNorm if number in ATTENTIONS else Normalize
    return make(min(map(np.min, values)), max(map(np.max, values))), "viridis"


def main(arguments: list[str] | None = None) -> int:
    """Draw. Raises BadInput for a run without TMT, or on another network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    run = read_run(chosen.run)
    about = {"classes": run.classes, "fingerprint": run.fingerprint, "adaptations": run.adaptations}
    network = load_segmenter(run.folder, segmenter=run.segmenter, settings=run.settings, **about)
    if not isinstance(network, Steered) or not isinstance(network.segmenter, MiTSegmenter):
        raise BadInput(f"{chosen.run}: no run of tmt on a Mix Transformer, led at test time; name one")
    guide = network.owner.guide
    gamma = guide.attention.largest()["gamma"]
    rows = [look(network.segmenter, guide, read_upright(path)) for path in chosen.images]
    draw(rows, chosen.out, f"TMT, a reconstruction; run {run.fingerprint[:8]}, largest |gamma| {gamma:.2f}")
    print(f"{chosen.out}: {len(rows)} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
