"""How things run: settings that change no result and stand in no fingerprint."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings


class Runtime(Settings):
    """Where and how a run is executed; on one device the same bytes come out whatever stands here."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    workers: int = Field(0, ge=0, description="processes that load and augment; 0 loads in the training process")
    checkpoint_every: int = Field(50, gt=0, description="steps between two resume states")
    log_every: int = Field(10, gt=0, description="steps between two lines of progress and points of the curve")
    cache_gb: float = Field(20.0, ge=0, description="splits larger than this when decoded are decoded on the fly")
    resources: dict[str, dict[str, dict[str, int]]] = Field(
        {}, description="rule: {default or kind of segmenter: {mem_mb, runtime, gpu, cpus_per_task}}, over the shipped"
    )
