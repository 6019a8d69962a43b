"""How things run: settings that change no result and stand in no fingerprint."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings


class Cards(Settings):
    """How trainings and predictions that know nothing of each other share the GPUs of one machine."""

    memory_gb: float = Field(gt=0, description="GPU memory that one process is granted on each card that it takes")
    locks: str = Field("/tmp/xdseg-cards", description="folder of lock files, the same for all users of the machine")


class Runtime(Settings):
    """Where and how a run is executed; on one device the same bytes come out whatever stands here.

    With several processes the same numbers come out to float tolerance, and the same bytes for the same number of them.
    """

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    processes: int = Field(1, ge=1, description="processes that share each training batch, on a device each")
    cards: Cards | None = Field(None, description="share this machine's GPUs by lock files; null: use what is visible")
    workers: int = Field(0, ge=0, description="processes that load and augment; 0 loads in the training process")
    checkpoint_every: int = Field(50, gt=0, description="steps between two resume states")
    log_every: int = Field(10, gt=0, description="steps between two lines of progress and points of the curve")
    cache_gb: float = Field(20.0, ge=0, description="splits larger than this when decoded are decoded on the fly")
    resources: dict[str, dict[str, dict[str, int]]] = Field(
        {}, description="rule: {default or kind of segmenter: {mem_mb, runtime, gpu, cpus_per_task}}, over the shipped"
    )
