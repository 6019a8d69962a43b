"""Where a run computes, and the switches that make it compute the same twice."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import torch

from xdseg.errors import BadInput

Precision = Literal["fp32", "bf16", "fp16"]
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
KIB_PER_MIB = 1024
BYTES_PER_MIB = 1 << 20


def resolve(device: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant. Raises BadInput for cuda where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("runtime.device: cuda is not available here; set cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision as the setting says; none for fp32."""
    return torch.autocast(device.type, TYPES.get(precision, torch.bfloat16), enabled=precision in TYPES)


@contextmanager
def reproducible() -> Iterator[None]:
    """Within the block: one CPU thread (sums depend on how many share them), deterministic kernels where they exist."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        stack.callback(torch.use_deterministic_algorithms, strict)
        stack.callback(setattr, torch.utils.deterministic, "fill_uninitialized_memory", fill)
        stack.enter_context(torch.backends.cudnn.flags(benchmark=False, deterministic=True))
        stack.callback(torch.set_flush_denormal, False)
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # AdamW's second moments of dead units get so small: a sixth of the time
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # a check for bugs that costs a fill per tensor
        yield


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far in MiB: of the GPU's allocator, or of this process without its loading workers."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / BYTES_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


def name(device: torch.device) -> str:
    """Model of the GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
