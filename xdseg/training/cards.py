"""GPUs of one machine, shared by processes that know nothing of each other: whoever computes holds locks on a card.

Snakemake counts GPUs but never says which one (its issue 281), and many small runs fit one card. With `runtime.cards`
each card is cut into units of one GB, a file each, and a process locks as many as the memory that it is granted; it
waits while no card has so many left. The kernel frees the locks of a process that ends, however it ends, so nothing has
to be cleaned up. Locks hold between users too. What other programs use of a card is not known here.
"""

import csv
import fcntl
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from xdseg.errors import BadInput
from xdseg.settings.runtime import Cards, Runtime

VISIBLE = "CUDA_VISIBLE_DEVICES"
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
COLUMNS = 3  # of what is asked
MIB_PER_GB = 1024
POLL_SECONDS = 2.0
FOLDER_MODE, FILE_MODE = 0o1777, 0o444  # everyone may add a file and lock it; nobody removes another's
GATE = "gate"  # held while locks are taken, so that two who need several do not keep each other waiting


@dataclass(frozen=True)
class Card:
    """One GPU; `units` is its memory in whole GB."""

    name: str  # what CUDA_VISIBLE_DEVICES takes: its UUID
    units: int


def find_cards() -> list[Card]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, or all; none where the driver's nvidia-smi is missing or fails.

    Numbers there are read in nvidia-smi's order, which is CUDA's where cards are alike or CUDA_DEVICE_ORDER=PCI_BUS_ID.
    A part of a card (MIG) is none of nvidia-smi's, and is taken as a whole by one process.
    """
    try:
        said = subprocess.run(QUERY, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in row] for row in csv.reader(said.splitlines())]
    by_number = {row[0]: Card(row[1], _units(row[2])) for row in rows if len(row) == COLUMNS}
    return visible(by_number, os.environ.get(VISIBLE))


def _units(memory: str) -> int:
    """Whole GB; 0 of what is not known, such as [N/A]."""
    return int(memory) // MIB_PER_GB if memory.isascii() and memory.isdigit() else 0


def visible(cards: dict[str, Card], wanted: str | None) -> list[Card]:
    """Of cards by number those that a value of CUDA_VISIBLE_DEVICES names, each once; none after a wrong name."""
    if wanted is None:
        return list(cards.values())
    found: list[Card] = []
    for name in (part.strip() for part in wanted.split(",")):
        whole = [card for card in cards.values() if name.startswith("GPU-") and card.name.startswith(name)]
        if name in cards:
            found.append(cards[name])
        elif len(whole) == 1:
            found += whole
        elif name.startswith("MIG-"):
            found.append(Card(name, 0))
        else:
            break
    return list(dict.fromkeys(found))


@contextmanager
def held(
    runtime: Runtime,
    *,
    cards: int = 1,
    find: Callable[[], list[Card]] = find_cards,
    poll: float = POLL_SECONDS,
) -> Iterator[list[str]]:
    """Within the block, hold memory on so many cards, and let CUDA see these alone; gives their names.

    Nothing is held without `runtime.cards`, on the CPU, or where there is no card. Must come before CUDA starts. Raises
    BadInput where there are too few cards, or none is large enough.
    """
    found = find() if runtime.cards is not None and runtime.device != "cpu" else []
    if not found:
        yield []
        return
    check_enough(found, runtime.cards, cards)
    with ExitStack() as stack:
        taken = wait_for(found, runtime.cards, cards, stack=stack, poll=poll)
        before = os.environ.get(VISIBLE)
        stack.callback(_restore, before)
        os.environ[VISIBLE] = ",".join(card.name for card in taken)
        yield [card.name for card in taken]


def needed(card: Card, settings: Cards) -> int:
    """Files to lock on a card; of one whose memory is not known, all there is: one."""
    return math.ceil(settings.memory_gb) if card.units else 1


def check_enough(found: Sequence[Card], settings: Cards, cards: int) -> None:
    """Raises BadInput where waiting would never end."""
    large = [card for card in found if max(card.units, 1) >= needed(card, settings)]
    if not large:
        asked, most = settings.memory_gb, max(card.units for card in found)
        raise BadInput(f"runtime.cards.memory_gb: {asked:g} is more than a card here has, {most}; lower it")
    if len(large) < cards:
        raise BadInput(f"runtime.processes: {cards} need a card each, and there are {len(large)}; set fewer")


def wait_for(found: Sequence[Card], settings: Cards, cards: int, *, stack: ExitStack, poll: float) -> list[Card]:
    """Take memory on so many cards, the emptiest first, all or none; their locks are closed with `stack`."""
    told = False
    while True:
        if (taken := _try(found, settings, cards, stack)) is not None:
            return taken
        if not told:
            print(f"waiting for {cards} of {len(found)} cards with {settings.memory_gb:g} GB left", flush=True)
            told = True
        time.sleep(poll)


def _try(found: Sequence[Card], settings: Cards, cards: int, stack: ExitStack) -> list[Card] | None:
    folder = _folder(Path(settings.locks))
    with ExitStack() as attempt:
        gate = attempt.enter_context(_opened(folder / GATE))
        fcntl.flock(gate, fcntl.LOCK_EX)
        free = {card: _free(folder, card, attempt) for card in found}
        fit = sorted((card for card in found if len(free[card]) >= needed(card, settings)), key=lambda c: -len(free[c]))
        if len(fit) < cards:
            return None
        for card in fit[:cards]:
            for file in free[card][: needed(card, settings)]:
                stack.callback(_release, _kept(file))
        return fit[:cards]


def _free(folder: Path, card: Card, attempt: ExitStack) -> list[BinaryIO]:
    """Files of a card that nobody else locks, locked until the attempt ends."""
    files = []
    for unit in range(max(card.units, 1)):
        file = attempt.enter_context(_opened(folder / f"{card.name.replace('/', '-')}.{unit}"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        files.append(file)
    return files


def _kept(file: BinaryIO) -> int:
    """A second descriptor of the same open file, which keeps its lock when the first is closed."""
    return os.dup(file.fileno())


def _release(descriptor: int) -> None:
    """Unlock, also for processes that were forked meanwhile and still have the file open; then close."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _folder(folder: Path) -> Path:
    """The folder of locks, open to all users. Raises BadInput where it cannot be made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _open_to_all():
            folder.mkdir(FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise _no_lock(folder, error) from error
    return folder


def _opened(path: Path) -> BinaryIO:
    """A lock's file, made if it is missing; read only, as Linux keeps others from writing in a folder such as /tmp."""
    try:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            _made(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise _no_lock(path, error) from error
    return os.fdopen(descriptor, "rb")


def _no_lock(path: Path, error: OSError) -> BadInput:
    return BadInput(f"runtime.cards.locks: {path}: {error.strerror}; name a folder that all users can write")


def _made(path: Path) -> None:
    with suppress(FileExistsError), _open_to_all():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, FILE_MODE))


@contextmanager
def _open_to_all() -> Iterator[None]:
    """Within the block, files have the mode that is asked for, whatever the user's umask."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(VISIBLE, None)
    else:
        os.environ[VISIBLE] = before
