"""Several processes that train one run: how they start, find each other, and what cannot be divided among them.

`runtime.processes: N` makes `xdseg train` become torchrun with N copies of itself on this machine; whoever calls
torchrun directly, be it on several machines, gets the same. Each copy takes the device of its local rank. The first
one alone holds the run's lock and writes.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdseg.errors import BadInput
from xdseg.process import run_lock
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Training

if TYPE_CHECKING:  # importing torch takes seconds, which adopting a finished run need not spend
    import torch

RANK, WORLD, LOCAL = "RANK", "WORLD_SIZE", "LOCAL_RANK"  # torchrun's variables
PATIENCE = timedelta(days=1)  # torchrun ends the others when one ends; no run needs a second judge
LOOPBACK = "127.0.0.1"


def started() -> bool:
    """Whether this process is one of torchrun's."""
    return WORLD in os.environ and RANK in os.environ


def is_first() -> bool:
    """Whether this process writes what the run leaves: alone, or the first of several."""
    return not started() or os.environ[RANK] == "0"


def become_torchrun(processes: int, arguments: list[str]) -> None:
    """Replace this process by torchrun with so many of `xdseg arguments`; its locks, if inheritable, stay held."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--local-addr={LOOPBACK}"]
    command = [*launcher, f"--nproc-per-node={processes}", "-m", "xdseg.cli", *arguments]
    os.environ["XDSEG_DIE_WITH_PARENT"] = "1"  # no copy outlives torchrun
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun would set it, with a warning
    sys.stdout.flush()
    os.execv(command[0], command)


@contextmanager
def joined(runtime: Runtime) -> Iterator[None]:
    """Within the block, share batches with torchrun's other processes, if this is one of several."""
    if not started() or os.environ[WORLD] == "1":
        yield
        return
    import torch.distributed as dist

    from xdseg.training.ranks import Ranks, sharing

    dist.init_process_group(_backend(runtime), timeout=PATIENCE)
    try:
        with sharing(Ranks(dist.get_rank(), dist.get_world_size())):
            yield
    finally:
        dist.destroy_process_group()


def _backend(runtime: Runtime) -> str:
    """NCCL where each process has a GPU of its own, which becomes this one's; else gloo. Raises BadInput for fewer."""
    import torch

    if runtime.device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    local, cards = int(os.environ.get(LOCAL, os.environ[RANK])), torch.cuda.device_count()
    if local >= cards:
        raise BadInput(f"runtime.processes: process {local + 1} of this machine has no card, as there are {cards}")
    torch.cuda.set_device(local)
    return "nccl"


@contextmanager
def first_holds(folder: Path) -> Iterator[None]:
    """The run's lock, which the first process holds for all."""
    with run_lock(folder) if is_first() else nullcontext():
        yield


def agreed(value: int) -> int:
    """What the first process says, for all. Only within `joined`; alone it is the value."""
    if "torch" not in sys.modules:  # then this process has joined no other
        return value
    import torch

    from xdseg.training.ranks import alone, current, global_sum

    if alone():
        return value

    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    return int(global_sum(torch.tensor(int(value) if current().rank == 0 else 0, device=device)))


def check_same(done: int, folder: Path) -> None:
    """Raises BadInput unless all processes go on after the same step, which says that they see the same folder."""
    if (first := agreed(done)) != done:
        raise BadInput(
            f"{folder}: one process reads the state of step {done}, the first that of {first}; share the folder"
        )


def check_divisible(network: "torch.nn.Module", adaptations: Mapping[str, Any], recipe: Training, *, name: str) -> None:
    """Raises BadInput for a method that several processes cannot share; alone all is well."""
    from xdseg.training.ranks import alone

    if alone():
        return
    if recipe.compile:
        raise BadInput(
            "training.compile: a compiled step cannot be divided; set it or runtime.processes to its default"
        )
    parts = {f"segmenter {name}": network} | {f"adaptation {key}": part for key, part in adaptations.items()}
    for what, part in parts.items():
        if not part.divisible:
            raise BadInput(f"{what}: does not say that it can be divided among processes; set runtime.processes to 1")
