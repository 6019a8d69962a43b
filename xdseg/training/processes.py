"""Several processes that train one run: how they start, find each other, and what cannot be divided among them.

`runtime.processes: N` makes `xdseg train` start N copies of itself on this machine (`xdseg.training.launch`); whoever
calls torchrun, be it on several machines, gets the same. Each copy takes the device of its local rank, and the first
one alone writes. The run's lock and the cards are held by who starts copies; of torchrun's the first holds the lock.
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
MEETING = "XDSEG_MEETING"  # a file by which copies on one machine find each other; torchrun's do by an address
PATIENCE = timedelta(days=1)  # who started them ends the others when one ends; no run needs a second judge


def started() -> bool:
    """Whether this process is one of several that somebody has started: `xdseg train`, or torchrun."""
    return WORLD in os.environ and RANK in os.environ


def is_first() -> bool:
    """Whether this process writes what the run leaves: alone, or the first of several."""
    return not started() or os.environ[RANK] == "0"


@contextmanager
def joined(runtime: Runtime) -> Iterator[None]:
    """Within the block, share batches with the other processes, if this is one of several."""
    if not started() or os.environ[WORLD] == "1":
        yield
        return
    import torch.distributed as dist

    from xdseg.training.ranks import Ranks, sharing

    place = {"rank": int(os.environ[RANK]), "world_size": int(os.environ[WORLD])}
    meeting = {"init_method": f"file://{os.environ[MEETING]}"} | place if MEETING in os.environ else {}
    dist.init_process_group(_backend(runtime), timeout=PATIENCE, **meeting)
    with sharing(Ranks(dist.get_rank(), dist.get_world_size())):
        yield
    dist.destroy_process_group()  # not after an error: with NCCL it waits for others, which may wait for this one


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
    """The run's lock, which is held for all: by who started them, or else by the first."""
    with run_lock(folder) if is_first() and MEETING not in os.environ else nullcontext():
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
