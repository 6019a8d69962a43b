"""Filling the cache of one split of a public data set, whose files must be those of the lock."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from xdseg.data.cache import CHANNELS, GIB, What
from xdseg.data.decoding import Decoder
from xdseg.data.inspection import Errand, Look
from xdseg.data.ledger import Ledger
from xdseg.data.locks import digest_of
from xdseg.data.public_lock import PublicLock
from xdseg.data.store import write_file_store, write_store
from xdseg.datasets.contract import Item
from xdseg.errors import BadInput
from xdseg.files import temporary


@dataclass(frozen=True)
class LockedFiles:
    """The images or labels of a split, seen to be those of the lock."""

    items: list[Item]
    errands: list[Errand]
    looks: dict[Errand, Look]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(H, W) of each item."""
        pairs = zip(self.items, self.errands, strict=True)
        return [tuple(item.window[2:]) if item.window else self.looks[errand].shape for item, errand in pairs]


def locked_files(lock: PublicLock, *, domain: str, split: str, what: What) -> LockedFiles:
    """The files of a split. Raises BadInput with one line if they are not what was locked."""
    layout = lock.layout
    items = layout.items(domain, split)
    errands = [layout.errands(domain, item)[0 if what == "images" else 1] for item in items]
    if None in errands:
        raise BadInput(f"{layout.root(domain)}: {split} has no labels")
    looks = Ledger(layout.name).looks(errands)
    for errand in errands:
        if looks[errand].fault:
            raise BadInput(looks[errand].fault)
    locked = lock.images(domain, split) if what == "images" else lock.raw_labels(domain, split)
    hashes = [looks[errand].sha256 for errand in errands]
    if digest_of(layout.digest_names(domain, items), hashes) != locked:
        place, count = layout.root(domain), lock.count(domain, split)
        raise BadInput(f"{place}: not the {count} {what} of {split} in {lock.path}; run `xdseg prepare {layout.name}`")
    return LockedFiles(items, errands, looks)


def fill_from_public(index: Path, lock: PublicLock, *, domain: str, split: str, what: What, cache_gb: float) -> str:
    """Decode a split into a store; returns a line about it. Raises BadInput if the files changed.

    What is too large is decoded on the fly. Labels that are drawn from polygons, or read from several files of which a
    store would notice a change in one alone, are then decoded once, into PNGs beside the index.
    """
    found = locked_files(lock, domain=domain, split=split, what=what)
    source, images = lock.layout.dataset(domain), what == "images"
    table = None if images else tuple(lock.layout.table(domain).tolist())
    decoder = Decoder(label=not images, dataset=source.name, table=table)
    names, windows = [item.name for item in found.items], [item.window for item in found.items]
    files = [errand.path for errand in found.errands]
    arrays = (decoder.decode(path, window) for path, window in zip(files, windows, strict=True))
    said = {"names": names, "digest": lock.images(domain, split) if images else lock.labels(domain, split)}
    size, line = lock.pixels(domain, split) * CHANNELS[what], f"{domain} {split} {what}: {len(names)}"
    if size <= cache_gb * GIB:
        write_store(index, arrays=arrays, **said)
        return f"{line} decoded, {size / GIB:.3f} GiB"
    shapes = [(*shape, 3) if images else shape for shape in found.shapes]
    if not images and (source.slow_labels or source.beside):
        folder = index.with_suffix("")
        write_file_store(index, files=list(_drawn(folder, names, arrays)), shapes=shapes, **said)
        return f"{line} decoded once, into {folder}"
    sha256 = [found.looks[errand].sha256 for errand in found.errands]
    write_file_store(index, files=files, shapes=shapes, sha256=sha256, decoder=decoder, windows=windows, **said)
    return f"{line}, {size / GIB:.1f} GiB decoded, over cache_gb {cache_gb:g}: decoded on the fly"


def _drawn(folder: Path, names: Iterable[str], arrays: Iterable[np.ndarray]) -> Iterator[Path]:
    """Labels as 8-bit PNGs of class ids, one by one."""
    for name, array in zip(names, arrays, strict=True):
        path = folder / f"{name}.png"
        with temporary(path) as unfinished:
            Image.fromarray(array).save(unfinished, format="PNG")
        yield path
