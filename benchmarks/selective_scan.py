"""The selective scan at MFuser's size, one thread: against mambapy's, mamba-ssm's reference, and length.

512 channels of 16 states over the 2,594 tokens of two encoders, batch 1, single precision; softplus and skip in all
arms. Outputs and gradients are checked to be equal first. The reference is timed forward only: its gradient takes time
that grows with the square of the length.

Bounds: forward and backward at least 8 × mambapy; forward at least 5 × the reference; from 1,024 to 16,384 steps time
grows with an exponent of at most 1.1, the slope of a line through the logarithms.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import measure
import scan_arms as arms
import torch
from memory import peak_memory
from scan_arms import Arm, Inputs

LEAST_TRAINING, LEAST_FORWARD, MOST_EXPONENT = 8, 5, 1.1
TOLERANCE = 1e-4  # between arms, relative to the largest value
SIZE = {"batch": 1, "length": 2594, "channels": 512, "states": 16}
SMALL = {"batch": 1, "length": 100, "channels": 16, "states": 4}
LENGTHS, SHORT = tuple(1 << n for n in range(10, 15)), (64, 128, 256)
CHUNKED: Arm = partial(arms.ours, backend="chunked")
FORWARD = {"ours": arms.ours, "reference": arms.plain, "step by step": arms.explicit, "mambapy": arms.mambapy}
TRAINING = {"ours": arms.ours, "chunked": CHUNKED, "mambapy": arms.mambapy}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    size, lengths, rounds = (SMALL, SHORT, 3) if chosen.quick else (SIZE, LENGTHS, 9)
    found = measure.Results(notes={"size": size, "lengths": lengths})
    compare(found, size, rounds=rounds)
    scale(found, size, lengths, rounds=rounds)
    return measure.report(found, chosen)


def compare(found: measure.Results, size: Mapping[str, int], *, rounds: int) -> None:
    """Add what all arms take at one size."""
    x = arms.draw(**size)
    wanted = torch.randn(x.u.shape, generator=torch.Generator().manual_seed(1))
    check_equal(x, wanted)
    forward = {name: partial(arms.forward, arm, x) for name, arm in FORWARD.items()}
    training = {name: partial(arms.training, arm, x, wanted) for name, arm in TRAINING.items()}
    seconds = {
        kind: measure.in_turns(runs, rounds=rounds, clock=time.process_time)
        for kind, runs in (("forward", forward), ("training", training))
    }
    for kind, theirs, least in (("training", "mambapy", LEAST_TRAINING), ("forward", "reference", LEAST_FORWARD)):
        against = measure.ratios(seconds[kind][theirs], seconds[kind]["ours"])
        found.bounded.append(measure.Figure(f"scan_{kind}", against, least=least, about=f"{kind}: {theirs} / ours"))
    for kind, runs in (("forward", forward), ("training", training)):
        for name, run in runs.items():
            add_costs(found, f"{kind}_{name.replace(' ', '_')}", seconds[kind][name], run, about=f"{name}, {kind}")


def add_costs(
    found: measure.Results, key: str, seconds: Sequence[float], run: Callable[[], object], *, about: str
) -> None:
    """Add milliseconds and peak memory of one arm."""
    memory = [peak_memory(run, torch.device("cpu"))]
    found.others.append(measure.Figure(f"ms_{key}", [1e3 * s for s in seconds], unit="ms", about=about))
    found.others.append(measure.Figure(f"mib_{key}", memory, unit="MiB", about=f"{about}, peak"))


def check_equal(x: Inputs, wanted: torch.Tensor) -> None:
    """All give the same outputs and gradients, or nothing may be compared."""
    for runs, given in ((FORWARD, (arms.forward, x)), (TRAINING, (arms.training, x, wanted))):
        run, *rest = given
        results = {name: run(arm, *rest) for name, arm in runs.items()}
        for name, theirs in results.items():
            for one, other in zip(_listed(results["ours"]), _listed(theirs), strict=True):
                if (one - other).abs().max() > TOLERANCE * one.abs().max():
                    raise SystemExit(f"selective_scan: {name} and ours differ")


def _listed(x: torch.Tensor | Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return [x] if isinstance(x, torch.Tensor) else x


def scale(found: measure.Results, size: Mapping[str, int], lengths: Sequence[int], *, rounds: int) -> None:
    """Add how time and memory of ours grow with the length."""
    runs = {}
    for length in lengths:
        x = arms.draw(**{**size, "length": length})
        runs[length] = partial(arms.training, arms.ours, x, torch.ones_like(x.u))
    seconds = measure.in_turns(runs, rounds=rounds, clock=time.process_time)
    about = f"exponent of time from {lengths[0]} to {lengths[-1]} steps"
    exponents = [measure.exponent(lengths, times) for times in zip(*seconds.values(), strict=True)]
    found.bounded.append(measure.Figure("scan_exponent", exponents, most=MOST_EXPONENT, unit="", about=about))
    for length, run in runs.items():
        add_costs(found, str(length), seconds[length], run, about=f"ours, training, {length} steps")


if __name__ == "__main__":
    sys.exit(main())
