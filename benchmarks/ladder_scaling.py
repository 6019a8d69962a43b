"""Time and memory of the ladder's two ends against image side and model size, and of attention apart: table and figure.

Attention apart is the fused kernel alone, on drawn queries, keys and values of the shape that the encoder's blocks
have, once per block: what grows with the square of the number of patches.
"""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

import ladder_arms as arms
import matplotlib
import torch
import torch.nn.functional as F
from ladder_arms import NAMES, PLAIN, Case
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from memory import peak_memory
from torch import nn

from xdseg.files import temporary

SIDES = (256, 384, 512, 768, 1024)
ATTENTION = "attention alone"
ENDS = (NAMES[0], PLAIN)
SIZES = {"S": ("small", 3), "B": ("base", 3), "L": ("large", 4)}  # part of timm's name, blocks with queries
BY_SIDE, BY_SIZE = "side", "size"
ROUNDS = 3
COLOURS = {NAMES[0]: "#b3541e", PLAIN: "#1b5e8c", ATTENTION: "#6b6b6b"}
MARKERS = {NAMES[0]: "s", PLAIN: "o", ATTENTION: "^"}
INCHES, DPI = (9.0, 6.4), 150


@dataclass(frozen=True)
class Row:
    """One point of the figure."""

    panel: str  # what varies: side or size
    model: str
    side: int
    arm: str
    parameters: float  # millions of the encoder
    milliseconds: float
    mib: float


def case_of(model: str, side: int) -> Case:
    """A model of one of SIZES at an image side."""
    name, blocks = SIZES[model]
    return Case(f"{model}-{side}", f"vit_{name}_patch14_reg4_dinov2", side=side, query_blocks=blocks)


def measured(device: torch.device, *, quick: bool) -> list[Row]:
    """All points. On a processor the sides are those of the small model, on a GPU of the large one."""
    model = "L" if device.type == "cuda" else "S"
    sides, sizes = ((64, 128), ("S",)) if quick else (SIDES, tuple(SIZES))
    points = [(BY_SIDE, case_of(model, side)) for side in sides]
    points += [(BY_SIZE, case_of(size, sides[0])) for size in sizes]
    return [row for panel, case in points for row in rows_of(panel, case, device)]


def rows_of(panel: str, case: Case, device: torch.device) -> list[Row]:
    """The ladder's two ends, and attention alone."""
    found, model = [], case.name.partition("-")[0]
    images = torch.randn(case.batch, 3, case.side, case.side, device=device)
    for name in ENDS:
        arm = arms.build(case, name).to(device)
        count = sum(parameter.numel() for parameter in arm.network.encoder.parameters()) / 1e6
        cost = costs(lambda arm=arm: arm(images), device)
        found.append(Row(panel, model, case.side, name, count, *cost))
    cost = costs(attention_of(arm.network.encoder, images), device)
    return [*found, Row(panel, model, case.side, ATTENTION, count, *cost)]


def attention_of(encoder: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """The fused kernel on tensors of the encoder's shape, as often as it has blocks."""
    heads, patch = encoder.blocks[0].attn.num_heads, encoder.patch_embed.patch_size[0]
    tokens = encoder.num_prefix_tokens + (images.shape[-2] // patch) * (images.shape[-1] // patch)
    half = torch.float16 if images.is_cuda else torch.float32
    shape = (len(images), heads, tokens, encoder.embed_dim // heads)
    query, key, value = (torch.randn(shape, device=images.device, dtype=half) for _ in range(3))

    def run() -> None:
        for _ in encoder.blocks:
            F.scaled_dot_product_attention(query, key, value)

    return run


def costs(run: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Milliseconds, the median of some rounds after one that is not counted, and peak memory in MiB."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds = []
    with arms.precision(device):
        memory = max(peak_memory(run, device) for _ in range(2))
        for _ in range(ROUNDS):
            began = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(clock() - began)
    return 1e3 * median(seconds), memory


def save(rows: Sequence[Row], path: Path) -> None:
    """Write `path`.csv and `path`.png."""
    with temporary(path.with_suffix(".csv")) as unfinished, unfinished.open("w", newline="") as file:
        table = csv.DictWriter(file, [column.name for column in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows({key: rounded(value) for key, value in asdict(row).items()} for row in rows)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = draw(rows)
        with temporary(path.with_suffix(".png")) as unfinished:
            figure.savefig(unfinished, format="png", dpi=DPI, metadata={"Software": None})


def rounded(value: object) -> object:
    """Floats to four digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def draw(rows: Sequence[Row]) -> Figure:
    """Time above memory, against side on the left and parameters on the right; all axes logarithmic."""
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    columns = ((BY_SIDE, "side", "image side, pixels"), (BY_SIZE, "parameters", "parameters of the encoder, millions"))
    for line, (quantity, unit) in enumerate((("milliseconds", "time per image, ms"), ("mib", "peak memory, MiB"))):
        for column, (panel, across, label) in enumerate(columns):
            lines(panels[line, column], [row for row in rows if row.panel == panel], across, quantity)
            panels[line, column].set(xlabel=label if line else "", ylabel="" if column else unit)
    for column, panel in enumerate((BY_SIDE, BY_SIZE)):
        panels[0, column].set_title(title(rows, panel), fontsize="medium")
    panels[0, 0].legend(frameon=False, fontsize="small")
    return figure


def lines(axes: Axes, rows: Sequence[Row], across: str, quantity: str) -> None:
    """One line per arm."""
    for arm, colour in COLOURS.items():
        points = [row for row in rows if row.arm == arm]
        places = [getattr(row, across) for row in points]
        values = [max(getattr(row, quantity), 1e-2) for row in points]
        axes.plot(places, values, color=colour, marker=MARKERS[arm], label=arm)
    axes.set(xscale="log", yscale="log")
    ticks = sorted({getattr(row, across) for row in rows})
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(visible=True, which="both", alpha=0.25)


def title(rows: Sequence[Row], panel: str) -> str:
    """What stays the same in a panel."""
    of_panel = [row for row in rows if row.panel == panel]
    return f"ViT-{of_panel[0].model}" if panel == BY_SIDE else f"{of_panel[0].side} pixels"
