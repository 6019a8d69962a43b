"""MVFuser beside attention over the tokens of both encoders, from 64 to 16,384 tokens: time, memory, where they cross.

Width 1,024, 16 heads, 16 states, batch 1, as MFuser has them after each of its 24 blocks; 2,594 are the tokens of both
encoders at 512 × 512. Arms: `MVFuser`; `attention`, its rival over both sequences, on torch's fused kernel, which holds
no matrix of all pairs; `plain attention`, the same by its formula, which does, up to 4,096 tokens. On a processor:
single precision, one thread, seconds of the processor. On a GPU: single precision and bfloat16, by the device's events,
with the scan that is there.

Bound: from 1,024 to 16,384 tokens the time of MVFuser's training grows with an exponent of at most 1.1, the slope of a
line through the logarithms. With --out, FILE's name ending in .csv, .png and .svg has table and figure.
Where a crossing is null, MVFuser takes less at all lengths, or at none from some length on.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import exp, log
from statistics import median

import fuser_figure
import measure
import torch
from device_costs import cost, free
from fuser_figure import ATTENTION, FORWARD, FUSER, PLAIN, TRAINING, Row
from memory import peak_memory
from torch import Tensor, nn

from xdseg.segmenters.mfuser.fusers import SelfAttention
from xdseg.segmenters.mvfuser import MVFuser
from xdseg.settings.mfuser import Fuser
from xdseg.training.device import autocast

MOST_EXPONENT = 1.1
WIDTH = 1024
TOKENS = 2594  # of MFuser
LENGTHS, QUICK_LENGTHS = (64, 128, 256, 512, 1024, 2048, TOKENS, 4096, 8192, 16384), (32, 64, 128)
EXPONENT_FROM = 1024
RIVALS = (FUSER, ATTENTION)
LONGEST_PLAIN = 4096  # of 16 heads, one GiB a matrix
LONGEST_REPEATED = 4096  # attention beyond takes most of a minute: its one run is profiled and timed
ROUNDS, QUICK_ROUNDS = 5, 2
GPU_ROUNDS = 15


class PlainAttention(nn.Module):
    """The layers of the fused one, and a matrix of all pairs between them."""

    def __init__(self, fused: SelfAttention) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same."""
        parts, heads = self.fused.attention, self.fused.attention.heads
        q, k, v = (
            layer(x).unflatten(2, (heads, -1)).transpose(1, 2) for layer in (parts.query, parts.key, parts.value)
        )
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)  # (B, heads, T, T)
        return self.fused.dropout(parts.output((weights @ v).transpose(1, 2).flatten(2))) * self.fused.scale


def arms(width: int, device: torch.device) -> dict[str, nn.Module]:
    """Drawn, in evaluation, as dropout takes the same from all."""
    torch.manual_seed(0)
    settings = Fuser()
    fused = SelfAttention(width, settings)
    made = {FUSER: MVFuser(width, states=settings.states), ATTENTION: fused, PLAIN: PlainAttention(fused)}
    return {name: module.to(device).eval() for name, module in made.items()}


def check_equal(modules: dict[str, nn.Module], width: int, device: torch.device) -> None:
    """Both forms of attention give the same, or nothing may be compared."""
    x = torch.randn(1, 50, width, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        if not torch.allclose(modules[ATTENTION](x), modules[PLAIN](x), rtol=1e-3, atol=1e-6):
            raise SystemExit("fuser_attention: plain attention and the fused kernel differ")


def runs(modules: dict[str, nn.Module], tokens: int, *, width: int, device: torch.device, precision: str) -> dict:
    """What each arm does of each kind at a length: {kind: {arm: run}}."""
    x = torch.randn(1, tokens, width, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    wanted = torch.ones_like(x)
    fitting = {name: module for name, module in modules.items() if name != PLAIN or tokens <= LONGEST_PLAIN}

    def forward(module: nn.Module) -> None:
        with torch.inference_mode(), autocast(device, precision):
            module(x)

    def training(module: nn.Module) -> None:
        with autocast(device, precision):
            y = module(x)
        torch.autograd.grad(y, [x, *module.parameters()], wanted.to(y.dtype))

    kinds = {FORWARD: forward, TRAINING: training}
    return {kind: {name: partial(run, one) for name, one in fitting.items()} for kind, run in kinds.items()}


def on_processor(tokens: int, kind: str, made: dict[str, Callable[[], None]], *, rounds: int) -> Iterator[Row]:
    """Rows of one length: memory of a run, time of others; of attention that takes long, both of one."""
    once = {name: [] for name in made}

    def timed(name: str) -> None:
        began = time.process_time()
        made[name]()
        once[name].append(time.process_time() - began)

    memory = {name: peak_memory(partial(timed, name), torch.device("cpu")) for name in made}
    repeated = {name: run for name, run in made.items() if name == FUSER or tokens <= LONGEST_REPEATED}
    seconds = once | measure.in_turns(repeated, rounds=rounds, clock=time.process_time)
    for name in made:
        yield Row("cpu", "fp32", kind, name, tokens, 1e3 * median(seconds[name]), memory[name])


def on_gpu(tokens: int, kind: str, made: dict[str, Callable[[], None]], *, precision: str) -> Iterator[Row]:
    """Rows of one length; what fails is left out, and told."""
    device = torch.device("cuda")
    for name, told in cost(device, made, rounds=GPU_ROUNDS).items():
        if "error" in told:
            print(f"{kind} {precision} {tokens} {name}: {told['error']}", flush=True)
        else:
            yield Row("cuda", precision, kind, name, tokens, told["ms"], told["mib"])


def measured(lengths: Sequence[int], *, width: int, rounds: int, gpu: bool) -> list[Row]:
    """All rows."""
    device, found = torch.device("cuda" if gpu else "cpu"), []
    modules = arms(width, device)
    check_equal(modules, width, device)
    for tokens in lengths:
        for precision in ("fp32", "bf16") if gpu else ("fp32",):
            made = runs(modules, tokens, width=width, device=device, precision=precision)
            for kind, of_kind in made.items():
                if gpu:
                    found += on_gpu(tokens, kind, of_kind, precision=precision)
                else:
                    found += on_processor(tokens, kind, of_kind, rounds=rounds)
                free(device)
    return found


def crossing(ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    """Tokens from which on ours takes less, between lengths in logarithms; None where it does not begin to."""
    lengths = sorted(ours.keys() & theirs.keys())
    for low, high in reversed(list(pairwise(lengths))):
        before, after = (log(theirs[n] / ours[n]) for n in (low, high))
        if before < 0 <= after:
            return exp(log(low) + (log(high) - log(low)) * -before / (after - before))
    return None


def growth(modules: dict[str, nn.Module], lengths: Sequence[int], *, width: int, rounds: int) -> measure.Figure:
    """Exponent of the time of MVFuser's training on a processor, all lengths in turns, as a machine's pace drifts."""
    every = {FUSER: modules[FUSER]}
    given = {"width": width, "device": torch.device("cpu"), "precision": "fp32"}
    made = {n: runs(every, n, **given)[TRAINING][FUSER] for n in lengths}
    seconds = measure.in_turns(made, rounds=rounds, clock=time.process_time)
    found = [measure.exponent(lengths, times) for times in zip(*seconds.values(), strict=True)]
    about = f"exponent of MVFuser's time from {lengths[0]} to {lengths[-1]} tokens, forward and backward"
    return measure.Figure("exponent_training", found, most=MOST_EXPONENT, unit="", about=about)


def add_figures(found: measure.Results, rows: Sequence[Row]) -> None:
    """Ratios at MFuser's length and the longest, and crossings, for each kind of run; every row below."""
    for device, precision, kind in dict.fromkeys((row.device, row.precision, row.kind) for row in rows):
        chosen = [row for row in rows if (row.device, row.precision, row.kind) == (device, precision, kind)]
        add_kind(found, chosen, kind if device == "cpu" else f"{kind}_{precision}")
    found.notes["rows"] = [row.told() for row in rows]


def add_kind(found: measure.Results, rows: Sequence[Row], key: str) -> None:
    """Of one kind of run on one device in one precision, time and memory."""
    for quantity, name in (("milliseconds", "time"), ("mib", "memory")):
        ours, theirs = ({row.tokens: getattr(row, quantity) for row in rows if row.arm == arm} for arm in RIVALS)
        for n in sorted({TOKENS, max(ours)} & ours.keys() & theirs.keys()):
            about = f"{key}, {name}: attention / MVFuser, {n} tokens"
            found.others.append(measure.Figure(f"{name}_{key}_{n}", [theirs[n] / ours[n]], about=about))
        crossed = crossing(ours, theirs)
        found.notes.setdefault("crossing", {})[f"{name}_{key}"] = crossed and round(crossed)
        if crossed is not None:
            about = f"{key}: MVFuser takes less {name} than attention from"
            found.others.append(measure.Figure(f"crossing_{name}_{key}", [crossed], unit="tokens", about=about))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, draw."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    gpu = torch.cuda.is_available() and not chosen.quick
    lengths, width, rounds = (QUICK_LENGTHS, 64, QUICK_ROUNDS) if chosen.quick else (LENGTHS, WIDTH, ROUNDS)
    found = measure.Results(notes={"width": width, "lengths": lengths})
    rows = measured(lengths, width=width, rounds=rounds, gpu=gpu)
    if not gpu:
        long = [n for n in lengths if n >= EXPONENT_FROM] or lengths
        found.bounded.append(growth(arms(width, torch.device("cpu")), long, width=width, rounds=rounds))
    add_figures(found, rows)
    if chosen.out:
        fuser_figure.save(rows, chosen.out)
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
