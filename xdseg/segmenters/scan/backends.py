"""Which code runs a selective scan: chosen once for a kind of device, with the reason, which a run can record.

The kernel of mamba-ssm is used where it can be imported and tensors are on a CUDA device; nothing here depends on it.
Installed without its compiled part, or beside another torch than it was built for, it fails half-way through its
import with errors of any type: that is told in one line, and the scan runs by other means unless it was asked for.
"""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from xdseg.errors import BadInput, suggest

Backend = Literal["auto", "streaming", "chunked", "mamba-ssm"]

KERNEL = "mamba-ssm"
PACKAGE, MODULE, FUNCTION = "mamba_ssm", "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn"


@dataclass(frozen=True)
class Choice:
    """The code that runs, and why."""

    name: Literal["streaming", "chunked", "mamba-ssm"]
    reason: str


@cache
def resolve(asked: Backend, device: str, *, fits: bool = True) -> Choice:
    """What runs on a type of device ("cpu", "cuda", …); `fits` says that dtype and sizes are such as the kernel takes.

    Raises BadInput for an unknown name, and if mamba-ssm is asked for by name and cannot run.
    """
    if asked not in get_args(Backend):
        raise BadInput(f"selective scan: no backend {asked!r}; {suggest(asked, get_args(Backend))}")
    if asked in ("streaming", "chunked"):
        return Choice(asked, "asked for")
    if device == "cpu" and asked == "auto":
        return Choice("streaming", "tensors are on a processor")
    problem = _problem(device, fits=fits)
    if problem is None:
        return Choice(KERNEL, "it imports and tensors are on a CUDA device")
    if asked == KERNEL:
        raise BadInput(f"selective scan: backend {KERNEL!r} cannot run: {problem}; take 'auto'")
    return Choice("chunked", problem)


def _problem(device: str, *, fits: bool) -> str | None:
    """Why the kernel cannot run, None if it can."""
    if device != "cuda":
        return f"its kernel needs a CUDA device, tensors are on {device!r}"
    if not fits:
        return "its kernel takes at most 256 states and no double precision"
    return kernel()[1]


@cache
def kernel() -> tuple[Callable[..., Any] | None, str | None]:
    """The kernel's function, or why there is none. Warns, once, if the package is there and does not work."""
    try:
        return getattr(importlib.import_module(MODULE), FUNCTION), None
    except Exception as error:  # of any type: loaders, compilers and version checks run on import
        missing = isinstance(error, ModuleNotFoundError) and error.name == PACKAGE
        reason = f"{KERNEL} is not installed" if missing else f"importing {MODULE} failed: {_in_a_line(error)}"
    if not missing:
        warnings.warn(f"selective scan: {reason}", RuntimeWarning, stacklevel=2)
    return None, reason


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
