"""Random streams: every draw of a run comes from (seed, stream name, step), never from what was drawn before.

A run that resumes at step n, or loads with other workers, therefore draws what an unbroken one draws.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import torch
from torch import Tensor

SEED_BYTES = 8  # torch seeds have 64 bits; the highest is dropped, since a signed seed is read differently


def seed_of(seed: int, name: str, step: int) -> int:
    """Seed of one stream at one step: the first 63 bits of the SHA-256 of `seed/name/step`."""
    digest = sha256(f"{seed}/{name}/{step}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big") >> 1


def generator(seed: int, name: str, step: int, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator at the start of one stream."""
    return torch.Generator(device=device).manual_seed(seed_of(seed, name, step))


@contextmanager
def global_draws(seed: int, name: str, step: int) -> Iterator[None]:
    """Within the block, what draws from torch's global CPU generator draws from this stream; then all is as before.

    For code of others that takes no generator (initialisers, torchvision). CUDA generators are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed, name, step))
        yield


def seed_network(seed: int, name: str, step: int) -> None:
    """Seed the global generators of all devices, which dropout and its like draw from."""
    torch.manual_seed(seed_of(seed, name, step))


def global_state() -> list[Tensor]:
    """Where the global generators stand: the CPU's, then those of GPUs in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *gpus]


def set_global_state(state: list[Tensor]) -> None:
    """Put the global generators back to where they stood."""
    torch.set_rng_state(state[0])
    if state[1:]:
        torch.cuda.set_rng_state_all(state[1:])
