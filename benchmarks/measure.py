"""What the benchmarks share: arms timed in turns, ratios round by round, a table, and one line of JSON."""

import argparse
import gc
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median, quantiles
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from xdseg.files import write_json
from xdseg.process import now, provenance

MISSED = 1  # exit code under --check
WIDTH = 110  # of the table where no terminal says its own
PACKAGES = ("numpy", "pillow", "torch", "torchmetrics", "snakemake")
SYMBOLS = {"least": "≥", "most": "≤"}


@dataclass(frozen=True)
class Figure:
    """One number with its bound: `least` that it must reach or `most` that it may reach, if it has any."""

    name: str
    rounds: Sequence[float]  # its value in each round; the median counts
    least: float | None = None
    most: float | None = None
    unit: str = "×"
    about: str = ""

    @property
    def value(self) -> float:
        """The median of all rounds."""
        return median(self.rounds)

    @property
    def holds(self) -> bool:
        """Is the bound kept?"""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def bound(self) -> str:
        """The bound in words, empty if there is none."""
        return " ".join(f"{SYMBOLS[key]} {getattr(self, key):g}" for key in SYMBOLS if getattr(self, key) is not None)

    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile of the rounds."""
        if len(self.rounds) == 1:
            return self.rounds[0], self.rounds[0]
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return low, high

    def told(self) -> dict[str, Any]:
        """The figure as JSON holds it."""
        low, high = self.spread()
        shown = {"median": _short(self.value), "quartiles": [_short(low), _short(high)], "rounds": len(self.rounds)}
        return shown | {key: getattr(self, key) for key in SYMBOLS if getattr(self, key) is not None}


@dataclass
class Results:
    """What one script has measured."""

    bounded: list[Figure] = field(default_factory=list)
    others: list[Figure] = field(default_factory=list)  # without a bound, shown below
    notes: dict[str, Any] = field(default_factory=dict)  # sizes and settings

    def as_json(self) -> dict[str, Any]:
        """Bounded figures at the top level, by name; everything else under `detail`."""
        detail = {figure.name: figure.told() for figure in (*self.bounded, *self.others)}
        holds = {figure.name: figure.holds for figure in self.bounded}
        top = {figure.name: _short(figure.value) for figure in self.bounded}
        return top | {"detail": {"figures": detail, "holds": holds} | self.notes}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def in_turns(
    arms: Mapping[str, Callable[[], Any]], *, rounds: int, clock: Callable[[], float], warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each arm in each round. The order turns round by round, so that no arm always follows another.

    A machine that slows down then slows all arms of a round, and leaves their ratios. `clock` is time.process_time for
    arms that only compute, which other processes disturb least, and time.perf_counter for those that wait as well.
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for number in range(-warmup, rounds):
        for name in names if number % 2 else names[::-1]:
            gc.collect()
            began = clock()
            arms[name]()
            if number >= 0:
                seconds[name].append(clock() - began)
    return seconds


def ratios(slower: Sequence[float], faster: Sequence[float]) -> list[float]:
    """`slower` over `faster`, round by round."""
    return [a / b for a, b in zip(slower, faster, strict=True)]


def exponent(lengths: Sequence[int], seconds: Sequence[float]) -> float:
    """p of the power law length^p that fits best, in logarithms."""
    return linear_regression([math.log(n) for n in lengths], [math.log(s) for s in seconds]).slope


def options(text: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options that all scripts take; `text` is the script's docstring."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result there too, with the device")
    parser.add_argument("--quick", action="store_true", help="small and few: to see that it runs, not to quote")
    parser.add_argument("--check", action="store_true", help=f"exit code {MISSED} if a bound is missed")
    chosen = parser.parse_args(arguments)
    if chosen.out and not chosen.out.parent.is_dir():
        parser.error(f"--out {chosen.out}: no such folder {chosen.out.parent}; make it")  # exit code 2
    chosen.environment = {"started": now(), "load_before": _load()}
    return chosen


def report(results: Results, chosen: argparse.Namespace) -> int:
    """Print the table and, last, the JSON; returns the exit code."""
    told = results.as_json()
    told["detail"]["quick"] = chosen.quick
    Console(width=None if sys.stdout.isatty() else WIDTH).print(_table(results))
    if chosen.out:
        write_json(chosen.out, told | {"environment": chosen.environment | environment()})
    print(json.dumps(told), flush=True)
    missed = [figure.name for figure in results.bounded if not figure.holds]
    return MISSED if missed and chosen.check else 0


def _table(results: Results) -> Table:
    table = Table(box=box.SIMPLE)
    for column in ("", "median", "quartiles", "bound", ""):
        table.add_column(column, justify="right" if column in ("median", "bound") else "left")
    for figure in (*results.bounded, *results.others):
        low, high = figure.spread()
        verdict = ("holds" if figure.holds else "[bold red]missed[/]") if figure.bound else ""
        table.add_row(
            figure.about or figure.name,
            f"{figure.value:.3g} {figure.unit}",
            f"{low:.3g} – {high:.3g}",
            figure.bound,
            verdict,
        )
    return table


def environment() -> dict[str, Any]:
    """Where the figures come from."""
    from importlib.metadata import distributions

    installed = {found.name: found.version for found in distributions()}
    packages = {name: installed[name] for name in PACKAGES if name in installed}
    about = {"device": processor(), "cores": len(os.sched_getaffinity(0)), "packages": packages}
    return provenance() | about | {"ended": now(), "load_after": _load()}


def processor() -> str:
    """Model of the processor, and of the GPU if a script has used one."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    names = [model or platform.machine()]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        names.append(torch.cuda.get_device_name())
    return ", ".join(names)


def _load() -> float:
    """Processes that wanted a core over the last minute: how quiet the machine was."""
    return round(os.getloadavg()[0], 2)
