"""Filling the decoded cache of one split: photographs from their folder, streetworld from its generator.

This is where a lock meets the folder: what was locked is what is trained on, or the stage ends with one line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from xdseg.data.folder import FolderLayout, read_layout
from xdseg.data.locks import FolderLock, digest_of
from xdseg.data.pixels import read_image, read_label
from xdseg.data.store import write_file_store, write_store
from xdseg.data.streetworld.settings import Streetworld
from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.settings.suites import FolderSuite

What = Literal["images", "labels"]
GIB = 1 << 30
CHANNELS = {"images": 3, "labels": 1}


def fill_from_folder(
    index: Path,
    lock: FolderLock,
    name: str,
    settings: FolderSuite,
    *,
    domain: str,
    split: str,
    what: What,
    cache_gb: float,
) -> str:
    """Decode a split of a folder suite into a store; returns a line about it. Raises BadInput if the files changed."""
    layout = read_layout(name, settings)
    names = layout.names(domain, split)
    files = [_file(layout, domain, what, image) for image in names]
    _check_declaration(layout, lock)
    digest = lock.images(domain, split) if what == "images" else lock.labels(domain, split)
    if digest_of(names, [file_digest(path) for path in files]) != digest:
        place = layout.root / domain / what
        locked = f"{lock.count(domain, split)} {what} of {domain} {split} in {lock.path}"
        raise BadInput(f"{place}: not the {locked} ({len(names)} listed now); run `xdseg prepare {name}`")
    size = lock.pixels(domain, split) * CHANNELS[what]
    read = read_image if what == "images" else read_label
    if size > cache_gb * GIB:
        shapes = [read(path).shape for path in files]
        write_file_store(index, names=names, files=files, shapes=shapes, digest=digest)
        return f"{domain} {split} {what}: {size / GIB:.1f} GiB decoded, over cache_gb {cache_gb:g}: decoded on the fly"
    write_store(index, names=names, arrays=(read(path) for path in files), digest=digest)
    return f"{domain} {split} {what}: {len(names)} decoded, {size / GIB:.3f} GiB"


def _check_declaration(layout: FolderLayout, lock: FolderLock) -> None:
    """Raises BadInput if suite.json means other ids than the lock: equal files would be read differently."""
    for key in ("classes", "ignore_index"):
        if getattr(layout.contents, key) != getattr(lock.contents, key):
            path = layout.root / "suite.json"
            raise BadInput(f"{path}: {key} is not that of {lock.path}; run `xdseg prepare {layout.name}`")


def _file(layout: FolderLayout, domain: str, what: What, name: str) -> Path:
    paths = layout.index(domain, what).get(name, ())
    if len(paths) != 1:
        raise BadInput(f"{layout.root / domain / what / name}.*: missing; run `xdseg prepare {layout.name}`")
    return paths[0]


def fill_from_generator(index: Path, settings: Streetworld, *, domain: str, split: str, what: What, digest: str) -> str:
    """Draw a split of streetworld into a store; returns a line about it."""
    count = getattr(settings, split)
    names = [scene_name(split, position) for position in range(count)]
    write_store(index, names=names, arrays=_scenes(settings, domain, split, what, count), digest=digest)
    return f"{domain} {split} {what}: {count} drawn"


def scene_name(split: str, position: int) -> str:
    """Name of a generated scene, here and in a suite written by `xdseg render`: of one split only."""
    return f"{split}_{position:05d}"


def _scenes(settings: Streetworld, domain: str, split: str, what: What, count: int) -> Iterator[np.ndarray]:
    from xdseg.data.streetworld.render import render  # Pillow and NumPy drawing, needed by no other stage

    for position in range(count):
        image, label = render(settings, domain=domain, split=split, index=position)
        yield image if what == "images" else label
