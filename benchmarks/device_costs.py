"""What arms cost on a device, in time and memory; needs torch alone, so that it runs on a bare machine with a GPU."""

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import torch
from memory import peak_memory

WARMUP = 2
MOST_TEXT = 300  # characters of an error


def seconds_on(device: torch.device, run: Callable[[], object]) -> float:
    """Of one run: by the device's events on a GPU, else by the wall's clock."""
    if device.type != "cuda":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    began.record()
    run()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1e3


def cost(device: torch.device, runs: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Any]:
    """Milliseconds (median, quartiles) and peak MiB of each, taken in turns; what fails says why."""
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {}
    for name, run in runs.items():
        try:
            for _ in range(WARMUP):
                run()
            found[name] = {"mib": round(peak_memory(run, device), 2)}
            seconds[name] = []
        except Exception as error:  # of any type: compiled code's too
            found[name] = {"error": in_a_line(error)}
    for number in range(rounds):
        for name in list(seconds)[:: 1 if number % 2 else -1]:
            seconds[name].append(1e3 * seconds_on(device, runs[name]))
    for name, times in seconds.items():
        low, _, high = quantiles(times, n=4, method="inclusive")
        found[name] |= {"ms": short(median(times)), "quartiles": [short(low), short(high)], "rounds": rounds}
    return found


def short(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


def in_a_line(error: Exception) -> str:
    """Type and text of an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MOST_TEXT]


def free(device: torch.device) -> None:
    """Give back what a part held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
