"""EoMT's ladder: what each part of ViT-Adapter + Mask2Former costs beside a plain vision transformer, down to EoMT.

All arms run in one process, in turns, at the same precision and in the same compile mode, with drawn weights. First the
network alone, from normalised images to the logits of masks and classes; then with what is around it, from 8-bit pixels
to class ids. Speeds are relative to step 0, round by round. On a processor: ViT-S at 256 pixels, single precision, one
thread, not compiled; on a GPU: ViT-L as published, at 640, 512 and 1024 pixels, half precision, compiled too.

Bound: EoMT reaches 0.97 of the speed of transformers' port on its fast path, with the same weights and logits.
With --out, time and memory against image side and model size are drawn to FILE's name, ending in `_scaling`.
"""

import gc
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import ladder_arms as arms
import ladder_scaling
import measure
import torch
from ladder_arms import PLAIN, STEPS, THEIRS, Arm, Case
from memory import peak_memory
from torch import Tensor

BOUND = 0.97
TOLERANCE = 1e-4  # between logits, relative to the largest
SMALL = Case("S-256", "vit_small_patch14_reg4_dinov2", side=256, query_blocks=3)
LARGE = "vit_large_patch14_reg4_dinov2"
PUBLISHED = (
    Case("L-640", LARGE, side=640, classes=133, queries=200),
    Case("L-512", LARGE, side=512, classes=150),
    Case("L-1024", LARGE, side=1024, batch=2),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, draw."""
    chosen = measure.options(__doc__, arguments)
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() and not chosen.quick else "cpu")
    found = measure.Results(notes={"device": device.type, "not counted": "samples, resizing, norms, softmax"})
    for case in (SMALL.at(64),) if chosen.quick else PUBLISHED if device.type == "cuda" else (SMALL,):
        for compiled in (False, True) if device.type == "cuda" else (False,):
            compare(case, found, device=device, compiled=compiled, rounds=3 if chosen.quick else 15)
    if chosen.out:
        rows = ladder_scaling.measured(device, quick=chosen.quick)
        ladder_scaling.save(rows, chosen.out.with_name(f"{chosen.out.stem}_scaling"))
    return measure.report(found, chosen)


def compare(case: Case, found: measure.Results, *, device: torch.device, compiled: bool, rounds: int) -> None:
    """Add the figures of one case in one compile mode."""
    networks: dict[str, Arm] = {step: arms.build(case, step) for step in STEPS}
    networks[THEIRS] = arms.transformers_twin(networks[PLAIN])
    check_equal(networks[PLAIN], networks[THEIRS], case)
    networks = {name: network.to(device) for name, network in networks.items()}
    pixels = torch.randint(256, (case.batch, 3, case.side, case.side), dtype=torch.uint8).to(device)
    gc.freeze()  # networks and libraries stay: collecting between arms need not look through them
    mode = f"{case.name}{' compiled' if compiled else ''}"
    with arms.precision(device):
        ready = {name: torch.compile(arm) if compiled else arm for name, arm in networks.items()}
        images = arms.normalise(pixels)
        alone = {name: synchronised(partial(network, images), device) for name, network in ready.items()}
        whole = {name: synchronised(partial(arms.whole, network, pixels), device) for name, network in ready.items()}
        seconds = {"network": timed(alone, device, rounds), "whole": timed(whole, device, rounds)}
        memory = {name: peak_memory(run, device) for name, run in alone.items()}
    add_figures(found, mode, seconds, memory)
    if not compiled:
        add_counts(found, case)


def check_equal(ours: Arm, theirs: Arm, case: Case) -> None:
    """Both give the same logits, or nothing may be compared."""
    images = torch.randn(1, 3, case.side, case.side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, other in zip(ours(images), theirs(images), strict=True):
            if (one - other).abs().max() > TOLERANCE * other.abs().max():
                raise SystemExit(f"eomt_ladder: logits of {PLAIN} and of {THEIRS} differ")


def synchronised(run: Callable[[], Tensor], device: torch.device) -> Callable[[], None]:
    """The run until its result is there."""

    def wait() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return wait


def timed(runs: Mapping[str, Callable[[], None]], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm in each round."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    return measure.in_turns(runs, rounds=rounds, clock=clock, warmup=3)


def add_figures(
    found: measure.Results, mode: str, seconds: Mapping[str, dict[str, list[float]]], memory: Mapping[str, float]
) -> None:
    """Milliseconds, speed relative to step 0, memory; the bound."""
    alone, key = seconds["network"], mode.replace(" ", "_")
    speed = measure.ratios(alone[THEIRS], alone[PLAIN])
    about = f"{mode}: speed of EoMT / of transformers' port"
    found.bounded.append(measure.Figure(f"eomt_{key}", speed, least=BOUND, about=about))
    for number, name in enumerate((*STEPS, THEIRS)):
        label, short = f"{mode}, {number} {name}", f"{key}_{number}"
        for part, times in seconds.items():
            relative = measure.ratios(times[STEPS[0]], times[name])
            about, spent = f"{label}, {part}", [1e3 * s for s in times[name]]
            found.others.append(measure.Figure(f"ms_{short}_{part}", spent, unit="ms", about=about))
            found.others.append(measure.Figure(f"speed_{short}_{part}", relative, about=f"{about}, / step 0"))
        found.others.append(measure.Figure(f"mib_{short}", [memory[name]], unit="MiB", about=f"{label}, peak"))


def add_counts(found: measure.Results, case: Case) -> None:
    """Parameters and multiply-accumulates of each step."""
    for number, name in enumerate(STEPS):
        for unit, value in zip(("M", "GMAC"), arms.counts(case, name), strict=True):
            label = f"{case.name}, {number} {name}"
            found.others.append(measure.Figure(f"{unit.lower()}_{case.name}_{number}", [value], unit=unit, about=label))


if __name__ == "__main__":
    sys.exit(main())
