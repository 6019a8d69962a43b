"""Decoded pixels of one split in one memory-mapped file: what training and inference read.

A store is an index (`NAME.json`: names, shapes, offsets, digest) beside one flat file of 8-bit values (`NAME.bin`).
Images and labels lie in stores of their own, so that a process opens exactly what its setting grants.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from xdseg.data.decoding import Decoder
from xdseg.data.staging import staged
from xdseg.errors import BadInput
from xdseg.files import file_digest, temporary, write_json

LABEL_DIMENSIONS = 2


@dataclass(frozen=True)
class PixelStore:
    """Read-only arrays of one split, in the order of its list: images (H, W, 3) or labels (H, W), uint8."""

    index: Path

    @cached_property
    def contents(self) -> dict:
        """The index: digest, names, shapes, and offsets or files."""
        try:
            return json.loads(self.index.read_text())
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{self.index}: no readable index of decoded pixels ({error}); delete it and run again"
            ) from error

    @cached_property
    def _pixels(self) -> np.ndarray:
        path = self.index.with_suffix(".bin")
        if not path.exists() or path.stat().st_size != self.contents["bytes"]:
            raise BadInput(f"{path}: missing or cut short; delete {self.index} and run again")
        return np.memmap(path, dtype=np.uint8, mode="r")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images, without ending."""
        return tuple(self.contents["names"])

    @property
    def digest(self) -> str:
        """Digest of the files that the pixels were decoded from, as in the suite's lock."""
        return self.contents["digest"]

    def __len__(self) -> int:
        return len(self.contents["names"])

    def shape(self, position: int) -> tuple[int, ...]:
        """(H, W, 3) or (H, W) of one array, without reading it."""
        return tuple(self.contents["shapes"][position])

    def __getitem__(self, position: int) -> np.ndarray:
        shape, start = self.shape(position), self.contents["offsets"][position]
        return self._pixels[start : start + int(np.prod(shape))].reshape(shape)


def write_store(index: Path, *, names: Iterable[str], arrays: Iterable[np.ndarray], digest: str) -> None:
    """Write a store; the index comes last and by renaming, so that an interrupted one is never taken for whole."""
    shapes, offsets, position = [], [], 0
    index.parent.mkdir(parents=True, exist_ok=True)
    with temporary(index.with_suffix(".bin")) as unfinished, unfinished.open("wb") as file:
        for array in arrays:
            shapes.append(array.shape)
            offsets.append(position)
            position += file.write(np.ascontiguousarray(array).data)
    contents = {"digest": digest, "names": list(names), "shapes": shapes, "offsets": offsets, "bytes": position}
    write_json(index, contents)


@dataclass(frozen=True)
class FileStore(PixelStore):
    """The same arrays decoded from their files whenever asked, for splits too large to keep decoded."""

    @cached_property
    def _checked(self) -> set[int]:
        return set()

    def _check(self, position: int, path: Path) -> None:
        """Once per process: a file that is not the locked one must not be used under the lock's name."""
        if position not in self._checked:
            if not path.is_file() or file_digest(path) != self.contents["sha256"][position]:
                raise BadInput(f"{path}: changed since it was checked; run `xdseg prepare` again")
            self._checked.add(position)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder.of(self.contents.get("decoder"), label=len(self.shape(0)) == LABEL_DIMENSIONS)

    def __getitem__(self, position: int) -> np.ndarray:
        path = Path(self.contents["files"][position])
        self._check(position, path)
        windows = self.contents.get("windows")
        return self._decoder.decode(path, windows[position] if windows else None)


def write_file_store(
    index: Path,
    *,
    names: Iterable[str],
    files: Iterable[Path],
    shapes: Iterable[tuple[int, ...]],
    digest: str,
    sha256: Iterable[str] | None = None,
    decoder: Decoder | None = None,
    windows: Iterable[Sequence[int] | None] = (),
) -> None:
    """Write the index of a store that decodes on the fly; files are hashed now unless their SHA-256 is given."""
    paths = [path.resolve() for path in files]
    contents = {"digest": digest, "names": list(names), "shapes": list(shapes)}
    contents |= {"files": list(map(str, paths)), "sha256": list(sha256 or map(file_digest, paths))}
    if decoder is not None:
        contents |= {"decoder": decoder.described(), "windows": list(windows)}
    write_json(index, contents)


def open_store(index: Path) -> PixelStore:
    """The store behind an index, decoded or not; decoded pixels from the node's own disk where that was asked for."""
    store = PixelStore(index)
    if "files" in store.contents:
        return FileStore(index)
    copy = staged(index)
    return store if copy == index else PixelStore(copy)
