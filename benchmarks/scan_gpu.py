"""The chunked selective scan beside mamba-ssm's kernel on a CUDA device, at MFuser's size and from 1k to 16k steps.

    PYTHONPATH=. python benchmarks/scan_gpu.py --out FILE [--quick]

512 channels of 16 states, batch 2, the 2,594 tokens of two encoders; softplus, bias and skip as MFuser has them.
Arms: `chunked`, ours; `mamba-ssm`, its kernel by our function, which computes in single precision; `kernel`, the
kernel alone, in the precision of its inputs; `streaming`, ours step by step, up to 2,594 steps. Times are of the
device, by events; memory is what the allocator held at most beyond inputs. Parity is to the plain recurrence in double
precision on the same inputs: the largest difference, and that relative to the largest value.

Needs torch and this package's scan, nothing else, so that it runs on a bare machine; where mamba-ssm does not import
(`build_mamba_scan.py` builds its kernel alone) its arms are left out with the reason. The file is written after each
part: a part that fails is told in it, and the rest goes on. Not part of `make benchmarks`: it needs a GPU.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from device_costs import cost, free, in_a_line, short
from torch import Tensor

from xdseg.segmenters.scan.api import selective_scan
from xdseg.segmenters.scan.backends import kernel
from xdseg.segmenters.scan.reference import selective_scan_reference

BATCH, CHANNELS, STATES, TOKENS = 2, 512, 16, 2594  # MFuser's: half of 1,024 channels; two encoders at 512 × 512
LENGTHS = (1024, 2048, TOKENS, 4096, 8192, 16384)
PARITY = (TOKENS, 16384)
SHORT = (64, 128)
STREAMING = TOKENS  # the longest that is run step by step
BIAS = -4.0  # softplus(-4) = 0.018, in the range of Mamba's first step sizes
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCES = {"fp32": {"forward": 1e-5, "gradients": 1e-4}, "bf16": {"forward": 2**-7, "gradients": 2**-7}}
SEQUENCES = ("u", "dt", "B", "C")  # in the arm's precision; A, D and the bias are single
OUTPUTS = ("y", "last")
ROUNDS, QUICK_ROUNDS = 15, 3

Inputs = dict[str, Tensor]
Arm = Callable[[Inputs], tuple[Tensor, Tensor]]  # outputs (B, D, L) and last state (B, D, N)


def draw(length: int, *, dtype: torch.dtype, device: torch.device, batch: int, channels: int) -> Inputs:
    """Random inputs as linear layers and the convolution leave them, wanting gradients, the same at each call."""
    draws = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=draws)
    found = {
        "u": normal(batch, channels, length),
        "dt": normal(batch, length, channels),
        "A": -torch.arange(1.0, STATES + 1).repeat(channels, 1),
        "B": normal(batch, length, STATES),
        "C": normal(batch, length, STATES),
        "D": torch.ones(channels),
        "delta_bias": torch.full((channels,), BIAS),
    }
    found = {name: x.to(device, dtype if name in SEQUENCES else torch.float32) for name, x in found.items()}
    return {name: (x.mT if name in ("dt", "B", "C") else x).requires_grad_() for name, x in found.items()}


def ours(x: Inputs, *, backend: str) -> tuple[Tensor, Tensor]:
    """The package's function."""
    return selective_scan(**x, delta_softplus=True, return_last_state=True, backend=backend)


def alone(x: Inputs) -> tuple[Tensor, Tensor]:
    """The kernel's function as upstream calls it."""
    run, _ = kernel()
    options = {"D": x["D"], "delta_bias": x["delta_bias"], "delta_softplus": True, "return_last_state": True}
    return run(*(x[name] for name in ("u", "dt", "A", "B", "C")), **options)


def exact(x: Inputs) -> tuple[Tensor, Tensor]:
    """The plain recurrence."""
    return selective_scan_reference(**x, delta_softplus=True)


def arms_for(length: int, missing: str | None) -> dict[str, Arm]:
    """Those that can run at this length."""
    found: dict[str, Arm] = {"chunked": partial(ours, backend="chunked")}
    if missing is None:
        found |= {"mamba-ssm": partial(ours, backend="mamba-ssm"), "kernel": alone}
    if length <= STREAMING:
        found["streaming"] = partial(ours, backend="streaming")
    return found


def forward(arm: Arm, x: Inputs) -> Tensor:
    """Outputs, without what gradients need."""
    with torch.no_grad():
        return arm(x)[0]


def training(arm: Arm, x: Inputs, wanted: Tensor) -> tuple[Tensor, ...]:
    """Gradients of all inputs, for those of the outputs."""
    return torch.autograd.grad(arm(x)[0], list(x.values()), wanted)


RUNS = {"forward": forward, "training": training}


def parity(x: Inputs, arms: Mapping[str, Arm], tolerances: Mapping[str, float]) -> dict[str, Any]:
    """How far each arm's outputs, last state and gradients are from the recurrence in double precision."""
    double = {name: value.detach().double().requires_grad_() for name, value in x.items()}
    wanted = torch.randn(x["u"].shape, generator=torch.Generator().manual_seed(1)).to(x["u"])
    truth = values(exact, double, wanted.double())
    found: dict[str, Any] = {}
    for name, arm in arms.items():
        try:
            errors = {key: difference(value, truth[key]) for key, value in values(arm, x, wanted).items()}
            bounds = {key: tolerances["forward" if key in OUTPUTS else "gradients"] for key in errors}
            found[name] = {"within": all(errors[key]["relative"] <= bounds[key] for key in errors), "errors": errors}
        except Exception as error:  # of any type: compiled code's too
            found[name] = {"error": in_a_line(error)}
    return found


def values(arm: Arm, x: Inputs, wanted: Tensor) -> Inputs:
    """Outputs, last state, and gradients of all inputs by name."""
    outputs = arm(x)
    gradients = torch.autograd.grad(outputs[0], list(x.values()), wanted)
    return dict(zip((*OUTPUTS, *x), (*(y.detach() for y in outputs), *gradients), strict=True))


def difference(value: Tensor, truth: Tensor) -> dict[str, float]:
    """The largest difference, and that relative to the largest value."""
    largest = (value.double() - truth).abs().max().item()
    return {"absolute": short(largest), "relative": short(largest / truth.abs().max().item())}


def plan(lengths: Sequence[int], truths: Sequence[int]) -> list[tuple[str, str, int]]:
    """Kind, precision and length of each part; what is short and says most comes first."""
    costs = [(kind, dtype, length) for length in lengths for dtype in DTYPES for kind in RUNS]
    first, *rest = [[("parity", dtype, length) for dtype in DTYPES] for length in truths]
    return first + costs + [part for parts in rest for part in parts]


def part(kind: str, dtype: str, length: int, *, device: torch.device, size: Mapping[str, int], rounds: int) -> Any:
    """Costs or parity of the arms that run at this length."""
    x = draw(length, dtype=DTYPES[dtype], device=device, **size)
    arms = arms_for(length, why_not(device))
    if kind == "parity":
        return parity(x, arms, TOLERANCES[dtype])
    options = (torch.ones_like(x["u"]),) if kind == "training" else ()
    return cost(device, {name: partial(RUNS[kind], arm, x, *options) for name, arm in arms.items()}, rounds=rounds)


def measure_all(told: dict[str, Any], write: Callable[[], None], device: torch.device, *, quick: bool) -> None:
    """Fill in costs and parity, part by part."""
    size = {"batch": 1, "channels": 8} if quick else {"batch": BATCH, "channels": CHANNELS}
    lengths, truths = (SHORT, SHORT[:1]) if quick else (LENGTHS, PARITY)
    for kind, dtype, length in plan(lengths, truths):
        began = time.perf_counter()
        try:
            rounds = QUICK_ROUNDS if quick else ROUNDS
            found = part(kind, dtype, length, device=device, size=size, rounds=rounds)
        except Exception as error:  # memory that does not suffice, say: the other parts go on
            found = {"error": in_a_line(error)}
        told[kind].append({"dtype": dtype, "length": length, "arms": found})
        write()
        print(f"{kind} {dtype} {length}: {json.dumps(found)} ({time.perf_counter() - began:.1f} s)", flush=True)
        free(device)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result there, part by part")
    parser.add_argument("--quick", action="store_true", help="small and few, without a GPU too: to see that it runs")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not chosen.quick:
        parser.error("no CUDA device; without one there is --quick alone, to see that it runs")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    told = begin(device)

    def write() -> None:
        if chosen.out:
            chosen.out.write_text(json.dumps(told, indent=1) + "\n")

    write()
    measure_all(told, write, device, quick=chosen.quick)
    print(json.dumps(told), flush=True)
    return 0


def why_not(device: torch.device) -> str | None:
    """Why mamba-ssm's kernel cannot run, None if it can."""
    if device.type != "cuda":
        return f"tensors are on {device.type!r}"
    with warnings.catch_warnings(action="ignore"):
        return kernel()[1]


def begin(device: torch.device) -> dict[str, Any]:
    """Where it runs, and whether the kernel is there."""
    where = {"device": torch.cuda.get_device_name() if device.type == "cuda" else device.type}
    where |= {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0]}
    size = {"batch": BATCH, "channels": CHANNELS, "states": STATES, "lengths": LENGTHS}
    about = {"kernel": why_not(device), "size": size, "tolerances": TOLERANCES}
    return where | about | {kind: [] for kind in ("parity", *RUNS)}


if __name__ == "__main__":
    sys.exit(main())
